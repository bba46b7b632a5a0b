//! Every error and every kind of damage as text.

use super::*;

fn every_error() -> Vec<Error> {
    let path = || PathBuf::from("store");
    let segment = SegmentId(3);
    let text = |text: &str| text.to_owned();
    vec![
        Error::Io { action: "open", path: path(), source: io::Error::other("the disk is gone") },
        Error::Missing { path: path() },
        Error::Foreign { path: path(), reason: text("it is a file") },
        Error::Untrusted { path: path(), reason: text("can be written to by everybody") },
        Error::Occupied { path: path(), reason: text("it is not empty") },
        Error::BackupDamaged { reason: text("it ends before segment 3") },
        Error::NotABackup { reason: text("it is not an archive") },
        Error::Unfinished { path: path() },
        Error::Locked { pid: Some(4711) },
        Error::Locked { pid: None },
        Error::Unsupported { what: text("segment 3"), found: text("2.0"), supported: text("1.x") },
        Error::ManifestDamaged { reason: text("it is not text") },
        Error::SegmentMissing { segment },
        Error::Damaged { segment, offset: 64, damage: Damage::Magic },
        Error::Rot { segment, offset: 64, witness: Seqno(9) },
        Error::KeyLength { len: 0 },
        Error::ValueLength { len: 11, limit: 10 },
        Error::ValueTooLarge { segment, offset: 64, len: 11, limit: 10 },
        Error::BatchLength { len: 11, limit: 10 },
        Error::ExpiryTooLate,
        Error::Full,
        Error::NumbersSpent { counter: "next_seq", number: 1 << 61 },
        Error::ReadOnly,
        Error::Closed,
        Error::Poisoned { cause: text("cannot fsync 000003.seg") },
        Error::NotWritten { cause: text("cannot write 000003.seg") },
        Error::CompactedAway { whole_from: Seqno(9) },
        Error::GivenUp { whole_from: Seqno(9) },
        Error::OtherLineage {
            cursor: Cursor { seq: Seqno(9), lineage: Some(Lineage(1)) },
            lineage: Lineage(2),
        },
        Error::BeyondEnd { seq: Seqno(101), next: Seqno(6) },
        Error::WithinTransaction,
        Error::WithinCompaction,
        Error::Cancelled,
        Error::NotANumber,
        Error::NumberOverflow { number: 7, by: i64::MAX },
        Error::NoSuchSegment { segment },
        Error::NotCompactable { segment, reason: "it is the log's end; `rotate` seals it" },
        Error::OutcomeUnknown { cause: text("cannot fsync 000003.seg") },
    ]
}

fn every_damage() -> Vec<Damage> {
    vec![
        Damage::Truncated { wants: 48, has: 40 },
        Damage::HeaderChecksum { stored: 1, computed: 0xdead_beef },
        Damage::RecordChecksum { stored: 1, computed: 0xdead_beef },
        Damage::Field { what: "the record's kind", value: 3 },
        Damage::Order { found: Seqno(3), previous: Seqno(7) },
        Damage::Foreign("another store".to_owned()),
        Damage::Codec(3),
        Damage::Compressed { codec: "lz4", raw_len: 100 },
        Damage::TooLarge { len: 11, limit: 10 },
        Damage::UnfinishedBatch,
        Damage::Magic,
    ]
}

/// Returns the number of kinds of errors and of damage. A new kind does not compile here until it
/// is counted; the test then fails until it is listed above.
fn kinds(error: &Error, damage: &Damage) -> (usize, usize) {
    let errors = match error {
        Error::Io { .. }
        | Error::Missing { .. }
        | Error::Foreign { .. }
        | Error::Untrusted { .. }
        | Error::Locked { .. }
        | Error::Unsupported { .. }
        | Error::ManifestDamaged { .. }
        | Error::SegmentMissing { .. }
        | Error::Damaged { .. }
        | Error::Rot { .. }
        | Error::KeyLength { .. }
        | Error::ValueLength { .. }
        | Error::BatchLength { .. }
        | Error::Full
        | Error::ValueTooLarge { .. }
        | Error::ReadOnly
        | Error::Closed
        | Error::Poisoned { .. }
        | Error::NotWritten { .. }
        | Error::NoSuchSegment { .. }
        | Error::NotCompactable { .. }
        | Error::OutcomeUnknown { .. }
        | Error::Occupied { .. }
        | Error::BackupDamaged { .. }
        | Error::NotABackup { .. }
        | Error::Unfinished { .. }
        | Error::CompactedAway { .. }
        | Error::ExpiryTooLate
        | Error::GivenUp { .. }
        | Error::OtherLineage { .. }
        | Error::BeyondEnd { .. }
        | Error::WithinTransaction
        | Error::WithinCompaction
        | Error::Cancelled
        | Error::NotANumber
        | Error::NumbersSpent { .. }
        | Error::NumberOverflow { .. } => 37,
    };
    let damages = match damage {
        Damage::Truncated { .. }
        | Damage::HeaderChecksum { .. }
        | Damage::RecordChecksum { .. }
        | Damage::Field { .. }
        | Damage::Order { .. }
        | Damage::Foreign(_)
        | Damage::Codec(_)
        | Damage::Compressed { .. }
        | Damage::UnfinishedBatch
        | Damage::Magic
        | Damage::TooLarge { .. } => 11,
    };
    (errors, damages)
}

#[test]
fn a_path_in_an_error_is_escaped_for_a_terminal() {
    use std::os::unix::ffi::OsStringExt;
    let path = || PathBuf::from(std::ffi::OsString::from_vec(b"d\x1b]0;x\x07\xff\xe2\x80\xae".to_vec()));
    let reason = || "is a trap".to_owned();
    for error in [
        Error::Io { action: "open", path: path(), source: io::Error::other("no") },
        Error::Missing { path: path() },
        Error::Foreign { path: path(), reason: reason() },
        Error::Untrusted { path: path(), reason: reason() },
    ] {
        let sentence = error.sentence();
        assert!(sentence.contains(r"d\x1b]0;x\x07\xff\xe2\x80\xae"), "{sentence}");
    }
}

#[test]
fn the_sentence_of_every_error_and_of_every_damage_is_recorded() {
    let distinct = |errors: &[Error]| {
        errors.iter().map(std::mem::discriminant).collect::<std::collections::HashSet<_>>().len()
    };
    let (errors, damages) = (every_error(), every_damage());
    assert_eq!((distinct(&errors), damages.len()), kinds(&errors[0], &damages[0]));
    let lines: Vec<String> =
        errors.iter().map(Error::sentence).chain(damages.iter().map(Damage::to_string)).collect();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!("errors", lines.join("\n")));
}
