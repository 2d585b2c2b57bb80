//! Bodies of requests: JSON, small, and soon.

use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;

use crate::api::problem::Problem;

/// Largest body, bytes.
const MAX_BYTES: usize = 64 << 10;
/// How long a client may take to send it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The body of a request. That it says it is JSON was checked.
pub(super) async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let body = Limited::new(request.into_body(), MAX_BYTES).collect();
    let body = match tokio::time::timeout(TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            let what = format!("the body was cut off, or has more than {MAX_BYTES} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, what));
        }
        Err(_) => return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    };
    serde_json::from_slice(&body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the body: {error}")))
}
