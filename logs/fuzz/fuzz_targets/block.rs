#![no_main]

use logs::message::Message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = Message::unpack(bytes) {
        assert_eq!(Message::unpack(&message.pack()), Ok(message));
    }
    logs::query::fuzz_search(bytes);
});
