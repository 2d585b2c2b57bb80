//! Requests to a store elsewhere, and their answers piece by piece.

use std::time::Duration;

use promql::ReadError;
use reqwest::{RequestBuilder, Response};
use tokio::runtime::Handle;

use super::collected::failed;
use crate::store::influx::http::{Http, read, with_login};
use crate::store::influx::{Api, classify};

/// Most bytes of an answer.
const MAX_BYTES: usize = 256 << 20;
/// Longest line of one. What comes in one piece (Prometheus, InfluxDB 2) is one line.
const MAX_LINE_BYTES: usize = 64 << 20;
/// Most bytes of a refusal that are read.
const MAX_REFUSAL_BYTES: usize = 16 << 10;
/// Time between two looks at whether a query's time is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The way to a store, for one query.
#[derive(Clone, Copy)]
pub(super) struct Wire<'a> {
    pub(super) http: &'a Http,
    pub(super) api: &'a Api,
    pub(super) runtime: &'a Handle,
    /// Whether the query's time is over.
    pub(super) over: &'a dyn Fn() -> bool,
}

impl std::fmt::Debug for Wire<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("http", self.http).finish_non_exhaustive()
    }
}

impl Wire<'_> {
    /// A POST with the login that it is written with.
    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.authorized(self.http.client().post(self.http.url(path)))
    }

    /// The same, where the address has no such end.
    pub(super) fn post_without(&self, end: &str, path: &str) -> RequestBuilder {
        let mut url = self.http.url("");
        let base = url.path().trim_end_matches('/');
        let base = base.strip_suffix(end).unwrap_or(base);
        url.set_path(&format!("{base}{path}"));
        self.authorized(self.http.client().post(url))
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match self.api {
            Api::V1 { login, .. } => with_login(request, login.as_ref()),
            Api::V2 { token: Some(token), .. } => {
                request.header("Authorization", format!("Token {}", token.expose()))
            }
            Api::V2 { token: None, .. } => request,
        }
    }

    /// The version that an InfluxDB names; `None`: it names none.
    pub(super) fn version(&self) -> Result<Option<String>, ReadError> {
        let request = self.authorized(self.http.client().get(self.http.url("/ping")));
        self.wait(async {
            let response = self.send(request).await?;
            let version = response.headers().get("x-influxdb-version").and_then(|value| value.to_str().ok());
            Ok(version.map(str::to_owned))
        })
    }

    /// Whether a request is answered with success and text that has these words.
    pub(super) fn answers(&self, request: RequestBuilder, words: &str) -> Result<bool, ReadError> {
        self.wait(async {
            let mut response = self.send(request).await?;
            let is_success = response.status().is_success();
            let text = read(&mut response, MAX_REFUSAL_BYTES).await;
            Ok(is_success && text.contains(words))
        })
    }

    /// Sends a query, and calls with each line of the answer.
    pub(super) fn lines(
        &self,
        request: RequestBuilder,
        line: &mut dyn FnMut(&[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.wait(async {
            let mut response = self.accepted(request).await?;
            let (mut rest, mut bytes): (Vec<u8>, usize) = (Vec::new(), 0);
            while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(error))? {
                bytes += chunk.len();
                let mut chunk = &chunk[..];
                while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
                    if rest.is_empty() {
                        line(&chunk[..end])?;
                    } else {
                        rest.extend_from_slice(&chunk[..end]);
                        line(&rest)?;
                        rest.clear();
                    }
                    chunk = &chunk[end + 1..];
                }
                rest.extend_from_slice(chunk);
                if bytes > MAX_BYTES || rest.len() > MAX_LINE_BYTES {
                    return Err(failed(format!(
                        "{}: the answer is larger than {} MiB, or {} MiB in one piece: ask for a shorter time or fewer series",
                        self.http.place(),
                        MAX_BYTES >> 20,
                        MAX_LINE_BYTES >> 20
                    )));
                }
            }
            if rest.is_empty() { Ok(()) } else { line(&rest) }
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ReadError> {
        request.send().await.map_err(|error| self.transport(error))
    }

    /// The answer, if it is no refusal.
    async fn accepted(&self, request: RequestBuilder) -> Result<Response, ReadError> {
        let mut response = self.send(request).await?;
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response);
        }
        let said = classify::said(&read(&mut response, MAX_REFUSAL_BYTES).await);
        let place = self.http.place();
        Err(failed(match status {
            401 | 403 => format!("{place}: token or password refused for reading ({status}): {said}"),
            404 | 405 => format!(
                "{place}: no query API there ({status}): {said}: is server.influx_query right, does the database exist?"
            ),
            _ => format!("{place}: it refuses the query ({status}): {said}"),
        }))
    }

    fn transport(&self, error: reqwest::Error) -> ReadError {
        failed(classify::transport(self.http.place(), error).to_string())
    }

    /// Waits for an answer, not longer than the query has.
    fn wait<T>(&self, work: impl Future<Output = Result<T, ReadError>>) -> Result<T, ReadError> {
        self.runtime.block_on(async {
            let mut look = tokio::time::interval(LOOK_EVERY);
            tokio::pin!(work);
            loop {
                tokio::select! {
                    done = &mut work => return done,
                    _ = look.tick() => if (self.over)() {
                        return Err(failed("its time is over"));
                    },
                }
            }
        })
    }
}
