//! Bodies of what is pushed: large, perhaps compressed. All that are being read have a bounded memory together.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Refused;

/// Largest body, bytes, as it is sent and uncompressed.
pub(super) const MAX_BYTES: usize = 16 << 20;
/// Bytes of all bodies that are being read, and uncompressed: three of the largest.
const MAX_BYTES_AT_ONCE: usize = 48 << 20;
/// What is counted in.
const UNIT_BYTES: usize = 64 << 10;
/// A body that grows more than this when it is uncompressed, and above [`SMALL_BYTES`], is refused.
const MAX_GROWTH: usize = 64;
/// See [`MAX_GROWTH`].
const SMALL_BYTES: usize = 1 << 20;
/// How long a client may take to send it, and how long it waits for its turn.
const TIMEOUT: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(10);

/// The memory that bodies may take.
#[derive(Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_BYTES_AT_ONCE / UNIT_BYTES)))
    }
}

/// A body, as it was sent. Its place in memory is kept as long as this is.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) bytes: Vec<u8>,
    /// As large as it may be uncompressed.
    pub(super) most: usize,
    _place: OwnedSemaphorePermit,
}

/// How a body is compressed, or the word for it that is not known here.
pub(super) fn encoding(headers: &HeaderMap) -> String {
    let all = headers.get_all(CONTENT_ENCODING).iter().map(|one| one.to_str().unwrap_or("?").trim());
    let all: Vec<String> =
        all.filter(|one| !one.is_empty() && *one != "identity").map(str::to_ascii_lowercase).collect();
    all.join(", ")
}

impl Room {
    /// Reads the body of a request.
    pub(super) async fn take(&self, request: Request, compressed: bool) -> Result<Taken, Refused> {
        let too_large = || {
            let what = format!("a body has at most {MAX_BYTES} bytes, compressed or not: send it in pieces");
            Refused::new(StatusCode::PAYLOAD_TOO_LARGE, what)
        };
        let length =
            request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: usize| length > MAX_BYTES) {
            return Err(too_large());
        }
        let length = length.unwrap_or(MAX_BYTES);
        let most =
            if compressed { length.saturating_mul(MAX_GROWTH).clamp(SMALL_BYTES, MAX_BYTES) } else { 0 };
        let units = u32::try_from((length + most).div_ceil(UNIT_BYTES).max(1)).unwrap_or(u32::MAX);
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.0).acquire_many_owned(units)).await;
        let Ok(Ok(place)) = place else {
            return Err(Refused::later("too much is being written at the same time", Duration::from_secs(5)));
        };
        let body = tokio::time::timeout(TIMEOUT, Limited::new(request.into_body(), length).collect()).await;
        match body {
            Ok(Ok(body)) => Ok(Taken { bytes: body.to_bytes().into(), most, _place: place }),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(Refused::new(StatusCode::BAD_REQUEST, "the body was cut off")),
            Err(_) => Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
        }
    }
}

impl Taken {
    /// Uncompresses what gzip made. Reads no further than it may.
    pub(super) fn gunzip(self) -> Result<Self, Refused> {
        let mut bytes = Vec::new();
        let limit = self.most as u64 + 1;
        let read =
            flate2::read::MultiGzDecoder::new(self.bytes.as_slice()).take(limit).read_to_end(&mut bytes);
        if let Err(error) = read {
            return Err(Refused::new(
                StatusCode::BAD_REQUEST,
                format!("the body is not what gzip makes: {error}"),
            ));
        }
        if bytes.len() > self.most {
            let what = format!("the body has more than {} bytes uncompressed: send it in pieces", self.most);
            return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, what));
        }
        Ok(Self { bytes, ..self })
    }
}
