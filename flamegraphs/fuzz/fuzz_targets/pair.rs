//! What the unprivileged process may send to the privileged one.
#![no_main]

use agent_common::pair::{Decoder, FromRelay, MAX_TO_PRIVILEGED, ToRelay};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new(MAX_TO_PRIVILEGED);
    for part in bytes.chunks(13) {
        decoder.push(part);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    let _ = FromRelay::decode(&frame);
                    let _ = ToRelay::decode(&frame);
                }
                Ok(None) => break,
                Err(_) => return,
            }
            assert!(decoder.pending() <= bytes.len());
        }
    }
});
