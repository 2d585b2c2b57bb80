#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    logs::block::filter::fuzz(bytes);
    logs::query::fuzz(bytes);
});
