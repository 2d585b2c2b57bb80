#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| logs::pattern::fuzz::patterns(bytes));
