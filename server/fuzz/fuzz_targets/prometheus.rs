#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| server::store::elsewhere::fuzz::run("prometheus", bytes));
