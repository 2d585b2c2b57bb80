//! The one place that uses `influxdb2`.

use influxdb2::api::write::TimestampPrecision;
use influxdb2::{ClientBuilder, RequestError};
use reqwest::Url;

use super::classify::{self, Answer};
use crate::store::StoreError;

/// The v2 write API at the root of a server.
pub(super) struct Client {
    inner: influxdb2::Client,
    place: String,
    bucket: String,
}

impl Client {
    /// `base` has been parsed: the crate panics on what is no URL.
    pub(super) fn new(
        base: &Url,
        builder: reqwest::ClientBuilder,
        org: &str,
        bucket: &str,
        token: &str,
    ) -> Result<Self, StoreError> {
        let place = classify::place(base);
        let client =
            ClientBuilder::with_builder(builder, base.as_str(), org, token).build().map_err(|source| {
                classify::misconfigured(format!("{place}: cannot set up the client"), Some(source.into()))
            })?;
        Ok(Self { inner: client, place, bucket: bucket.to_owned() })
    }

    pub(super) async fn write(&self, body: String) -> Answer {
        let org = &self.inner.org;
        let result = self
            .inner
            .write_line_protocol_with_precision(org, &self.bucket, body, TimestampPrecision::Nanoseconds)
            .await;
        match result {
            Ok(()) => Answer::Done,
            Err(RequestError::Http { status, text }) => classify::status(&self.place, status.as_u16(), &text),
            Err(RequestError::ReqwestProcessing { source }) => {
                Answer::Failed(classify::transport(&self.place, source))
            }
            Err(other) => Answer::Failed(classify::unavailable(
                format!("{}: request failed", self.place),
                Some(other.into()),
            )),
        }
    }
}

impl std::fmt::Debug for Client {
    /// Without the client, which holds the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("place", &self.place)
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}
