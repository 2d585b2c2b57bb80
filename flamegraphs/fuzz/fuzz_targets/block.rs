#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flamegraphs::fuzz::run("block", bytes));
