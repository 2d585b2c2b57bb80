//! A host that is forgotten.

use server::store::embedded::{Forgetting, Host};

use super::*;

fn hosts(store: &EmbeddedStore) -> Vec<(String, u64)> {
    let info = store.reader().expect("reader").info().expect("info");
    info.hosts().into_iter().map(|Host { name, windows, .. }| (name, windows)).collect()
}

#[test]
fn a_host_goes_beside_its_writer_and_the_others_stay_sound() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path());
    for seq in 1..=1_500 {
        store.write(&[window("gone", seq), window("stays", seq)]).expect("write");
    }
    drop(store);
    // As when both were silent for long: nothing of them waits at the head.
    let options = Options { silent: Duration::ZERO, ..Options::default() };
    let store = EmbeddedStore::open(dir.path(), options).expect("store");
    store.settle().expect("settled");
    store.write(&[window("stays", 3_000)]).expect("write");
    let of_both = hosts(&store);
    assert_eq!(of_both, [("gone".to_owned(), 1_500), ("stays".to_owned(), 1_501)]);
    let forgetting = Forgetting::open(store.path(), "gone").expect("opened");
    let mut deleted = 0;
    let mut seq = 3_000;
    while let Some(more) = forgetting.step().expect("a step") {
        deleted += more;
        seq += 1;
        store.write(&[window("stays", seq)]).expect("the writer goes on");
    }
    assert!(deleted > 1_500 * 5, "{deleted}");
    assert_eq!(hosts(&store), [("stays".to_owned(), seq - 3_000 + 1_501)]);
    let checked = store.reader().expect("reader").check(|_, _| ()).expect("checked");
    assert_eq!(checked.damages, Vec::<String>::new());
    let health = store.health().expect("health");
    assert!(
        health.dropped.iter().any(|(what, _)| what == "samples of forgotten hosts"),
        "{:?}",
        health.dropped
    );
    // What it sent before is not stored again, what it sends anew is.
    let again = store.write(&[window("gone", 7), window("gone", 4_000)]).expect("write");
    assert_eq!((again.windows, again.duplicates), (1, 1));
    assert_eq!(hosts(&store)[0], ("gone".to_owned(), 1));
    assert!(forgetting.step().expect("a step").is_some());
}
