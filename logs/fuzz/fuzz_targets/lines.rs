#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| logs::parse::fuzz::lines(bytes));
