#![no_main]

#[path = "../../tests/fuzz/entries.rs"]
#[allow(dead_code)]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::series(bytes));
