//! The entry for fuzzing: what anybody with a token may send. The target of `cargo fuzz` in `fuzz/` calls it; the test beside replays
//! bytes that were changed at random.

use prost::Message as _;
use remote_write::{DecodeError, Label, TimeSeries, WriteRequest, unpack};

/// A message of the reader that allocates nothing, as the other has it.
fn read(message: &[u8]) -> Result<Vec<TimeSeries>, DecodeError> {
    let one = |one: Result<remote_write::SeriesRef<'_>, DecodeError>| {
        let one = one?;
        one.others();
        let labels = one.labels().map(|label| label.map(|(name, value)| Label::new(name, value)));
        let labels = labels.collect::<Result<_, _>>()?;
        Ok(TimeSeries { labels, samples: one.samples().collect::<Result<_, _>>()? })
    };
    remote_write::series(message).map(one).collect()
}

/// A compressed body; and the same bytes as a message. What the other reader takes, this takes, and finds the same.
pub(crate) fn series(bytes: &[u8]) {
    if let Ok(message) = unpack(bytes, 1 << 20) {
        assert!(message.len() <= 1 << 20);
        let _ = read(&message);
    }
    let ours = read(bytes);
    if let Ok(theirs) = WriteRequest::decode(bytes) {
        let ours = ours.unwrap_or_else(|error| panic!("{error}: {bytes:?}"));
        assert_eq!(format!("{ours:?}"), format!("{:?}", theirs.timeseries));
    }
}
