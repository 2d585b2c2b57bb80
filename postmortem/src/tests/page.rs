//! The reference, and the JSON.

use agent_common::wire::postmortem::CauseClass;

use super::named::refused;
use crate::{examine, reference};

#[test]
fn the_reference_names_every_class_in_the_page_of_a_family() {
    let page = reference();
    let families = page.split("\n## Classes\n").next().expect("the pages");
    for class in CauseClass::ALL {
        assert!(families.contains(&format!("`{class}`")), "{class} has no page");
    }
    assert!(families.matches("**What.**").count() == crate::causes::FAMILIES.len());
    assert!(!page.contains("//!"));
}

#[test]
fn the_json_has_the_shape_of_the_reference() {
    let json = serde_json::to_value(examine(&refused()).expect("a cause")).expect("JSON");
    assert_eq!(json["cause"]["class"], "connection-refused");
    assert_eq!(json["cause"]["subject"]["peer"], "127.0.0.1:5432");
    assert_eq!(json["ended"]["kind"], "exit");
    assert!(json["loop"].is_null() && json["ended"]["by"].is_null());
    assert_eq!(json["evidence"][0]["kind"], "syscall");
    let keys: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["cause", "ended", "evidence", "loop", "process", "ruled_out"]);
}
