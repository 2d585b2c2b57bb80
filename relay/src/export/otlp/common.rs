//! Messages that profiles and logs share: `opentelemetry.proto.common.v1` and `opentelemetry.proto.resource.v1`.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::export) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::export) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::export) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(in crate::export) key: String,
    #[prost(message, optional, tag = "2")]
    pub(in crate::export) value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::export) struct AnyValue {
    #[prost(oneof = "any_value::Value", tags = "1, 3")]
    pub(in crate::export) value: Option<any_value::Value>,
}

pub(in crate::export) mod any_value {
    /// What a value may be.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(in crate::export) enum Value {
        #[prost(string, tag = "1")]
        String(String),
        #[prost(int64, tag = "3")]
        Int(i64),
    }
}

/// `InstrumentationScope`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::export) struct Scope {
    #[prost(string, tag = "1")]
    pub(in crate::export) name: String,
    #[prost(string, tag = "2")]
    pub(in crate::export) version: String,
}

impl Scope {
    /// This program.
    pub(in crate::export) fn own() -> Self {
        Self { name: "s7mpa".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// A text as a value.
pub(in crate::export) fn string(text: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::String(text.to_owned())) }
}

/// An attribute that is a text.
pub(in crate::export) fn attribute(key: &str, text: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(string(text)) }
}

/// A request's body, compressed.
pub(in crate::export) fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    out.write_all(bytes)?;
    out.finish()
}
