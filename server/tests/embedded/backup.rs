//! A copy of the store while it is written.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn a_copy_is_a_sound_store_of_one_moment_while_its_writer_goes_on() {
    let (dir, copied) = (tempfile::tempdir().expect("tempdir"), tempfile::tempdir().expect("tempdir"));
    let store = EmbeddedStore::open(dir.path(), Options::default()).expect("store");
    for seq in 1..=700 {
        store.write(&[window("h", seq)]).expect("write");
    }
    let ended = AtomicBool::new(false);
    let copy = copied.path().join(FILE);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut seq = 700;
            while !ended.load(Ordering::Relaxed) {
                seq += 1;
                store.write(&[window("h", seq)]).expect("write");
            }
            seq
        });
        let mut out = File::create(&copy).expect("a file");
        let done = server::store::backup(store.path(), &mut out);
        ended.store(true, Ordering::Relaxed);
        assert_eq!(done.expect("a copy"), copy.metadata().expect("it is there").len());
        writer.join().expect("the writer")
    });
    let files = std::fs::read_dir(dir.path()).expect("a directory").filter_map(Result::ok);
    let mut names = files.map(|one| one.file_name().to_string_lossy().into_owned());
    assert!(names.all(|name| name.starts_with(FILE) && !name.ends_with("backup")), "nothing is left behind");

    let reader = Reader::open(&copy).expect("a store");
    assert_eq!(reader.check(|_, _| ()).expect("checked").damages, Vec::<String>::new());
    let windows = reader.counts().expect("counts").windows;
    assert!((700..=written).contains(&windows), "{windows} of {written}");
    drop(reader);
    // Put in the place of the store, it goes on where it was.
    let restored = EmbeddedStore::open(copied.path(), Options::default()).expect("store");
    let again = restored.write(&[window("h", windows), window("h", windows + 1)]).expect("write");
    assert_eq!((again.windows, again.duplicates), (1, 1));
    drop(store);

    let mut out = File::create(copied.path().join("other")).expect("a file");
    assert!(server::store::backup(&dir.path().join("no-such.db"), &mut out).is_err());
}
