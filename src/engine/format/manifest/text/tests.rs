//! MANIFEST encoded and decoded, cut, flipped and malformed.

use super::*;
use proptest::prelude::*;

fn manifest() -> Manifest {
    let line = |id, base, extent| SegmentLine {
        id: SegmentId(id),
        base_seq: Seqno(base),
        layout: Layout::current(0x0bad_f00d),
        extent,
    };
    Manifest {
        store: StoreId(*b"0123456789abcdef"),
        lineage: Lineage(0x51d8_a0c2_e6f7_b394),
        fork: Some(Fork { from: Lineage(7), at: Seqno(640) }),
        hash_seed: 0x9e37_79b9_7f4a_7c15,
        generation: 12,
        next_segment: SegmentId(5),
        next_seq: Seqno(2051),
        is_backup: false,
        history: History {
            dropped: Seqno(640),
            given_up: Seqno(702),
            whole_from: Seqno(811),
            whole_from_ms: 77,
        },
        segments: vec![line(1, 1, SegmentExtent::Sealed(4096)), line(4, 812, SegmentExtent::Active(1 << 20))],
    }
}

fn with_crc(body: &str) -> String {
    format!("{body}crc {:08x}\n", crc32c::crc32c(body.as_bytes()))
}

#[test]
fn a_manifest_decodes_to_itself() {
    for is_backup in [false, true] {
        let manifest = Manifest { is_backup, ..manifest() };
        assert_eq!(Manifest::decode(manifest.encode().as_bytes()), Ok(manifest));
    }
    let repaired = Manifest { fork: None, ..manifest() };
    assert_eq!(Manifest::decode(repaired.encode().as_bytes()), Ok(repaired));
}

#[test]
fn the_first_lineage_is_named_by_the_stores_id_and_has_no_line() {
    let first = Lineage(u64::from_be_bytes(*b"01234567"));
    let manifest = Manifest { lineage: first, fork: None, ..manifest() };
    let text = manifest.encode();
    assert!(!text.contains("lineage"), "{text}");
    assert_eq!(Manifest::decode(text.as_bytes()), Ok(manifest));
}

#[test]
fn a_log_continues_its_own_lineage_and_its_parent_up_to_the_branch() {
    let of = |lineage, next_seq| Manifest {
        lineage: Lineage(lineage),
        fork: None,
        next_seq: Seqno(next_seq),
        ..manifest()
    };
    let restored = of(1, 101).forked(Lineage(2));
    assert!(restored.continues(&of(1, 101)) && restored.continues(&of(2, 900)));
    assert!(!restored.continues(&of(1, 102)) && !restored.continues(&of(3, 5)));
    assert!(!of(1, 900).continues(&restored));
}

#[test]
fn every_prefix_and_every_flipped_bit_is_refused() {
    let bytes = manifest().encode().into_bytes();
    for len in 0..bytes.len() {
        assert!(Manifest::decode(&bytes[..len]).is_err(), "prefix of {len}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // A flip may change only the case of the checksum's hexadecimal digits.
        let same = changed.eq_ignore_ascii_case(&bytes) && bit / 8 >= bytes.len() - 9;
        assert!(Manifest::decode(&changed).is_err() || same, "bit {bit}");
    }
}

#[test]
fn unknown_lines_and_an_unknown_minor_are_read() {
    let text = manifest().encode().replace(" 1.0\n", " 1.7\nweather fine today\n");
    let (body, _) = text.rsplit_once("crc ").expect("a checksum line");
    assert_eq!(Manifest::decode(with_crc(body).as_bytes()), Ok(manifest()));
}

#[test]
fn an_unknown_major_is_refused_by_name() {
    let text = with_crc("logkv manifest 2.1\n");
    assert_eq!(Manifest::decode(text.as_bytes()), Err(ManifestError::Unsupported("2.1".into())));
}

#[test]
fn segments_out_of_order_or_after_the_active_one_are_refused() {
    for swap in [
        |m: &mut Manifest| m.segments.swap(0, 1),
        |m: &mut Manifest| m.segments[0].extent = SegmentExtent::Active(1),
        |m: &mut Manifest| m.segments[0].base_seq = Seqno(900),
    ] {
        let mut wrong = manifest();
        swap(&mut wrong);
        assert!(Manifest::decode(wrong.encode().as_bytes()).is_err());
    }
}

proptest! {
    #[test]
    fn arbitrary_text_with_a_right_checksum_never_panics(
        body in "(segment [0-9a-z +]{0,40}\n|[a-z_]{0,9} ?[0-9a-f]{0,40}\n){0,6}",
    ) {
        let _ = Manifest::decode(with_crc(&format!("logkv manifest 1.0\n{body}")).as_bytes());
        let _ = Manifest::decode(body.as_bytes());
    }
}
