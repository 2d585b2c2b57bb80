//! Cases and decoys.

mod build;
mod decoys;
mod forged;
mod later;
mod later_again;
mod missing_facts;
mod named;
mod of_calls;
mod of_programs;
mod of_signals;
mod of_words;
mod page;

#[test]
fn the_reference_page_has_all_causes_as_they_are() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/CAUSES.md");
    if std::env::var_os("S7MPA_UPDATE").is_some() {
        std::fs::write(path, crate::reference()).expect("written");
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == crate::reference(),
        "{path} is not what the causes say: run this test with S7MPA_UPDATE=1"
    );
}
