#![no_main]

#[path = "../../tests/fuzz/entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|text: &str| entries::examine(text));
