//! The file KEYDIR, found damaged or of another time.

use std::fs;

use logkv::{Options, Store};

use crate::common::{assert_counted, assert_is, contents, quick, scratch};

/// The bytes before the slots of a KEYDIR that covers one segment: header, rows of segments and shards, checksum.
const HEAD_LEN: usize = 64 + 64 + 1024 * 24 + 8;

fn eager() -> Options {
    quick().background(false).checkpoint_records(1)
}

fn lazy() -> Options {
    eager().checkpoint_records(u64::MAX)
}

#[test]
fn shards_of_keydir_that_are_damaged_leave_every_figure_right_that_is_counted_on_from_it() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), eager()).expect("opens");
    for key in ["a", "b", "c", "d"] {
        store.put(key, "1").expect("a put");
    }
    store.close().expect("closes");
    let store = Store::open_with(dir.path(), lazy()).expect("opens");
    store.put("a", "22").expect("a put");
    store.put("a", "222").expect("a put");
    store.rotate().expect("rotates");
    store.put("a", "2222").expect("a put");
    store.delete("b").expect("a delete");
    let map = contents(&store);
    store.close().expect("closes");
    let path = dir.path().join("KEYDIR");
    let mut bytes = fs::read(&path).expect("KEYDIR");
    for byte in bytes[HEAD_LEN..].iter_mut().step_by(8) {
        *byte ^= 0x10;
    }
    fs::write(&path, bytes).expect("the damage");
    for options in [lazy().read_only(true), lazy()] {
        let store = Store::open_with(dir.path(), options).expect("opens");
        assert_eq!(store.open_report().record_count, 4, "KEYDIR is used");
        assert_counted(&store, "opened");
        assert_is(&store, &map, "opened");
        if !store.is_read_only() {
            store.put("a", "last").expect("a put");
            store.delete("c").expect("a delete");
            assert_counted(&store, "written to");
        }
    }
}
