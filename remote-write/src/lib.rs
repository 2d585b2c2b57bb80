//! Prometheus's remote write 1.0: the messages of `prometheus.WriteRequest` and how they travel, protobuf in a block of snappy.
//!
//! Source: the specification "Prometheus Remote-Write 1.0" and `prompb/{remote,types}.proto`. Exemplars and native
//! histograms are skipped: nobody here stores them.

mod read;

use prost::Message as _;

pub use read::{Others, SeriesRef, series, unpack};

/// What the header `Content-Type` says.
pub const CONTENT_TYPE: &str = "application/x-protobuf";
/// What the header `Content-Encoding` says.
pub const CONTENT_ENCODING: &str = "snappy";
/// The header that names the protocol's version, and its value.
pub const VERSION: (&str, &str) = ("X-Prometheus-Remote-Write-Version", "0.1.0");
/// Label with the metric's name.
pub const NAME: &str = "__name__";
/// Value of a sample that says that its series has ended: this NaN alone, by its bits.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Samples of several series.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequest {
    /// The series. One may be there more than once.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
    /// What the metrics are.
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<Metadata>,
}

/// A series and some of its samples.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    /// Sorted by name, each name once, `__name__` among them.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Ascending in time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

/// A label.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Label {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value; never empty.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A value at a time.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Sample {
    /// The value; [`STALE`]: the series ended.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds of Unix time.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// What a metric is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Metadata {
    /// How its values behave.
    #[prost(enumeration = "MetricType", tag = "1")]
    pub kind: i32,
    /// The metric's name.
    #[prost(string, tag = "2")]
    pub metric_family_name: String,
    /// What it means.
    #[prost(string, tag = "4")]
    pub help: String,
    /// What it is measured in.
    #[prost(string, tag = "5")]
    pub unit: String,
}

/// How the values of a metric behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MetricType {
    /// Not said.
    Unknown = 0,
    /// A sum that rises.
    Counter = 1,
    /// A level.
    Gauge = 2,
}

/// Why bytes are no request.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not snappy's block format. The framing format begins with `sNaPpY` and is refused, too: the protocol excludes it.
    #[error("the body is not compressed with snappy's block format: {0}")]
    Snappy(#[from] snap::Error),
    /// It would be larger than is allowed.
    #[error("the body has {bytes} bytes uncompressed, and {most} are allowed: send fewer samples at a time")]
    TooLarge {
        /// Bytes that it claims to have.
        bytes: usize,
        /// Bytes that are allowed.
        most: usize,
    },
    /// Not the message.
    #[error("the body is no prometheus.WriteRequest: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// Likewise, and what is wrong.
    #[error("the body is no prometheus.WriteRequest: {0}")]
    Malformed(&'static str),
}

impl WriteRequest {
    /// The body of the HTTP request.
    ///
    /// # Panics
    /// Never: only a request of over 4 GiB could not be compressed.
    #[must_use]
    pub fn encode_body(&self) -> Vec<u8> {
        // SANITY: snappy refuses inputs of over 2^32 - 1 bytes alone; senders split at some thousand samples.
        snap::raw::Encoder::new().compress_vec(&self.encode_to_vec()).expect("a request below 4 GiB")
    }

    /// Reads a body that has no more than `most` bytes when uncompressed. Nothing is allocated before that is known.
    pub fn decode_body(body: &[u8], most: usize) -> Result<Self, DecodeError> {
        Ok(Self::decode(unpack(body, most)?.as_slice())?)
    }
}

impl TimeSeries {
    /// With these labels, sorted by name.
    #[must_use]
    pub fn new(mut labels: Vec<Label>, samples: Vec<Sample>) -> Self {
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        Self { labels, samples }
    }
}

impl Label {
    /// A label.
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> WriteRequest {
        let labels = vec![Label::new("job", "node"), Label::new(NAME, "up")];
        let samples = vec![Sample { value: 1.0, timestamp: 1000 }, Sample { value: STALE, timestamp: 2000 }];
        let metadata = Metadata {
            kind: MetricType::Gauge.into(),
            metric_family_name: "up".to_owned(),
            help: "Whether it could be asked.".to_owned(),
            unit: String::new(),
        };
        WriteRequest { timeseries: vec![TimeSeries::new(labels, samples)], metadata: vec![metadata] }
    }

    #[test]
    fn a_request_comes_back_with_its_stale_marker() {
        let back = WriteRequest::decode_body(&request().encode_body(), 1 << 20).unwrap();
        assert_eq!(back.timeseries[0].labels, request().timeseries[0].labels);
        assert_eq!(back.timeseries[0].labels[0].name, NAME, "sorted");
        assert_eq!(back.metadata, request().metadata);
        let values: Vec<u64> = back.timeseries[0].samples.iter().map(|one| one.value.to_bits()).collect();
        assert_eq!(values, [1f64.to_bits(), STALE.to_bits()]);
    }

    #[test]
    fn bytes_on_the_wire_are_those_of_the_specification() {
        let request = WriteRequest {
            timeseries: vec![TimeSeries::new(
                vec![Label::new(NAME, "up")],
                vec![Sample { value: 1.0, timestamp: 5 }],
            )],
            metadata: Vec::new(),
        };
        let expected = [
            // timeseries, 29 bytes: labels, 14 bytes: name, value; samples, 11 bytes: a double, an integer.
            &[0x0a, 29, 0x0a, 14, 0x0a, 8][..],
            b"__name__",
            &[0x12, 2],
            b"up",
            &[0x12, 11, 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 5],
        ];
        assert_eq!(request.encode_to_vec(), expected.concat());
    }

    #[test]
    fn a_small_body_cannot_claim_much_memory() {
        // Four GiB less one, claimed by five bytes.
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert!(matches!(WriteRequest::decode_body(&bomb, 1 << 20), Err(DecodeError::TooLarge { .. })));
        let zeroes = snap::raw::Encoder::new().compress_vec(&vec![0; 2 << 20]).unwrap();
        assert!(matches!(WriteRequest::decode_body(&zeroes, 1 << 20), Err(DecodeError::TooLarge { .. })));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert!(matches!(WriteRequest::decode_body(b"", 1 << 20), Err(DecodeError::Snappy(_))));
        assert!(matches!(WriteRequest::decode_body(b"{}", 1 << 20), Err(DecodeError::Snappy(_))));
        let text = snap::raw::Encoder::new().compress_vec(b"up 1 1000").unwrap();
        assert!(matches!(WriteRequest::decode_body(&text, 1 << 20), Err(DecodeError::Protobuf(_))));
        let body = request().encode_body();
        for cut in 1..body.len() {
            assert!(WriteRequest::decode_body(&body[..cut], 1 << 20).is_err(), "{cut}");
        }
    }
}
