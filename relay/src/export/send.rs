//! The task that posts requests.

use std::sync::Arc;
use std::time::Duration;

use agent_common::settings::Content;
use agent_common::text;
use link::Backoff;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode, Url};

use super::queue::{Body, Queue};

/// Waits between tries.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);
/// Longest answer to a request that was taken: what of it was left out.
const ANSWER_BYTES: usize = 64 << 10;
/// How much of a receiver's answer is shown.
const SHOWN_BYTES: usize = 300;

/// Why a request was not taken.
enum Failure {
    /// It may work later, after so long if the receiver says.
    Again(String, Option<Duration>),
    /// It will never work, or part of it did not.
    Never(Rejected),
}

/// What a receiver has left out for good.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) why: String,
    /// How many samples of the request; `None`: all.
    pub(super) samples: Option<u64>,
}

/// A receiver.
pub(super) struct Target<'a> {
    /// The setting that names it.
    pub(super) key: &'static str,
    /// What it gets: `samples`, `lines`.
    pub(super) what: &'static str,
    pub(super) url: &'a Content,
    /// What is added to the URL's path.
    pub(super) path: &'static str,
    pub(super) token: Option<&'a Content>,
    pub(super) timeout: Duration,
    pub(super) headers: &'a [(&'static str, &'static str)],
    /// What an answer that is a success says of what was left out.
    pub(super) rejected: fn(&[u8]) -> Option<Rejected>,
}

/// Posts requests, one at a time, in order.
pub(super) struct Sender {
    key: &'static str,
    what: &'static str,
    client: Client,
    url: Url,
    rejected: fn(&[u8]) -> Option<Rejected>,
}

impl Sender {
    pub(super) fn new(target: &Target<'_>) -> Result<Self, String> {
        let wrong = |what: String| format!("{}: {what}", target.key);
        let url = target.url.read_secret().map_err(|error| wrong(error.to_string()))?;
        let mut url: Url = url.parse().map_err(|error| wrong(format!("it is not a URL: {error}")))?;
        if !target.path.is_empty() {
            url.set_path(&format!("{}{}", url.path().trim_end_matches('/'), target.path));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in target.headers {
            let name = HeaderName::try_from(*name).map_err(|error| wrong(error.to_string()))?;
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(token) = target.token {
            let token = token.read_secret().map_err(|error| wrong(format!("token: {error}")))?;
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| wrong("the token has characters that a header cannot have".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let client = Client::builder()
            .timeout(target.timeout)
            .user_agent(concat!("s7mpa/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            // A redirection would carry the token to whoever the receiver names.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Self { key: target.key, what: target.what, client, url, rejected: target.rejected })
    }

    /// Sends until the queue is closed and empty.
    pub(super) async fn run(self, queue: Arc<Queue>) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        let (key, what) = (self.key, self.what);
        while let Some(body) = queue.next().await {
            match self.post(&body).await {
                Ok(()) => {
                    backoff.succeeded();
                    if queue.sent(&body) {
                        tracing::info!("{key}: the receiver takes {what} again");
                    }
                }
                Err(Failure::Never(Rejected { why, samples })) => {
                    let lost = samples.unwrap_or(body.samples).min(body.samples);
                    tracing::error!(why, "{key}: {lost} {what} are lost");
                    queue.refused(&body, lost, why);
                }
                Err(Failure::Again(why, after)) => {
                    if queue.failed(why.clone()) {
                        tracing::warn!(why, "{key}: the receiver takes nothing now; it is tried again");
                    }
                    let wait = backoff.failed();
                    tokio::time::sleep(after.map_or(wait, |after| after.clamp(wait, RETRY_AFTER_MAX))).await;
                }
            }
        }
    }

    async fn post(&self, body: &Body) -> Result<(), Failure> {
        // The URL may contain a password: errors omit it.
        let again = |error: reqwest::Error| Failure::Again(error.without_url().to_string(), None);
        let answer =
            self.client.post(self.url.clone()).body(body.bytes.clone()).send().await.map_err(again)?;
        let status = answer.status();
        if status.is_success() {
            return match (self.rejected)(&beginning(answer, ANSWER_BYTES).await) {
                Some(rejected) => Err(Failure::Never(rejected)),
                None => Ok(()),
            };
        }
        let seconds =
            answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let words = words(answer).await;
        let why = format!("the receiver answers {status}{words}");
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            Err(Failure::Again(why, seconds.map(Duration::from_secs)))
        } else {
            Err(Failure::Never(Rejected { why, samples: None }))
        }
    }
}

/// The begin of an answer's body, as words.
async fn words(answer: reqwest::Response) -> String {
    let bytes = beginning(answer, SHOWN_BYTES).await;
    let said = String::from_utf8_lossy(&bytes);
    let said = text::clean(said.trim());
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

async fn beginning(mut answer: reqwest::Response, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < most
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        bytes.extend_from_slice(&chunk[..chunk.len().min(most)]);
    }
    bytes
}
