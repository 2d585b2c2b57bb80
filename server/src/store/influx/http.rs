//! Requests that `influxdb2` does not have: the v1 API, a path in front of the v2 API, health.

use std::time::Duration;

use reqwest::{Certificate, RequestBuilder, Url, redirect};

use super::classify::{self, Answer};
use super::{Options, Secret, health};
use crate::secret;
use crate::store::StoreError;

/// Time to connect, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest answer that is read: errors name the first bad lines, and a batch of those can be long.
const MAX_ANSWER: usize = 64 << 10;
/// Longest `/metrics` that is read; VictoriaMetrics has 100 KiB of it.
const MAX_METRICS: usize = 4 << 20;

/// A client for one server.
#[derive(Debug)]
pub(in crate::store) struct Http {
    client: reqwest::Client,
    base: Url,
    place: String,
}

/// The settings that every client of this module has.
pub(super) fn builder(options: &Options) -> Result<reqwest::ClientBuilder, StoreError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("s7mpa/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT.min(options.timeout))
        .timeout(options.timeout)
        // A redirected POST becomes a GET and then a misleading error.
        .redirect(redirect::Policy::none());
    if let Some(path) = &options.ca_file {
        let refuse = |source| {
            classify::misconfigured(
                format!("cannot read the authorities in {}", path.display()),
                Some(source),
            )
        };
        let pem = std::fs::read(path).map_err(|source| refuse(source.into()))?;
        let mut count = 0;
        for block in pem_blocks(&pem) {
            builder = builder
                .add_root_certificate(Certificate::from_pem(block).map_err(|source| refuse(source.into()))?);
            count += 1;
        }
        if count == 0 {
            return Err(refuse("no PEM certificate in it".into()));
        }
    }
    Ok(builder)
}

/// The certificates of a PEM file: reqwest 0.11 takes one at a time.
fn pem_blocks(pem: &[u8]) -> impl Iterator<Item = &[u8]> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let find = |from: usize| pem[from..].windows(BEGIN.len()).position(|w| w == BEGIN).map(|at| from + at);
    let mut next = find(0);
    std::iter::from_fn(move || {
        let start = next?;
        next = find(start + BEGIN.len());
        Some(&pem[start..next.unwrap_or(pem.len())])
    })
}

impl Http {
    pub(in crate::store) fn new(options: &Options) -> Result<Self, StoreError> {
        let refuse = |why: String| {
            classify::misconfigured(format!("database URL `{}`: {why}", secret::hide(&options.url)), None)
        };
        let base = Url::parse(&options.url).map_err(|e| refuse(e.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none_or(str::is_empty) {
            return Err(refuse("not `http://host:port` or `https://host:port`".into()));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(refuse("user, password and token have their own settings".into()));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(refuse("`?` and `#` have no meaning in it".into()));
        }
        let place = classify::place(&base);
        let client = builder(options)?.build().map_err(|source| {
            classify::misconfigured(format!("{place}: cannot set up the client"), Some(source.into()))
        })?;
        Ok(Self { client, base, place })
    }

    /// Whether the URL has no path.
    pub(super) fn at_root(&self) -> bool {
        self.base.path() == "/"
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// The server, for people.
    pub(in crate::store) fn place(&self) -> &str {
        &self.place
    }

    pub(in crate::store) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub(in crate::store) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url
    }

    pub(super) async fn write_v2(
        &self,
        org: &str,
        bucket: &str,
        token: Option<&Secret>,
        body: String,
    ) -> Answer {
        let mut request = self
            .client
            .post(self.url("/api/v2/write"))
            .query(&[("bucket", bucket), ("org", org), ("precision", "ns")])
            .body(body);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Token {}", token.expose()));
        }
        self.answer(request).await
    }

    pub(super) async fn write_v1(&self, db: &str, login: Option<&(String, Secret)>, body: String) -> Answer {
        let request =
            self.client.post(self.url("/write")).query(&[("db", db), ("precision", "ns")]).body(body);
        self.answer(with_login(request, login)).await
    }

    pub(super) async fn create_database(&self, db: &str, login: Option<&(String, Secret)>) -> Answer {
        let name = db.replace('\\', "\\\\").replace('"', "\\\"");
        let request =
            self.client.post(self.url("/query")).form(&[("q", format!("CREATE DATABASE \"{name}\""))]);
        match self.answer(with_login(request, login)).await {
            Answer::Done => {
                tracing::info!("{}: made the database {db}", self.place);
                Answer::Done
            }
            other => other,
        }
    }

    /// Asks whether the server is there: InfluxDB 1 has `/ping`, the others `/health`.
    pub(super) async fn health(&self, v1: bool) -> Answer {
        self.answer(self.client.get(self.url(if v1 { "/ping" } else { "/health" }))).await
    }

    /// The server's own counters of what it dropped; empty when it has none (InfluxDB) or does not show them.
    pub(super) async fn drop_counters(&self) -> Vec<(String, u64)> {
        let Ok(mut response) = self.client.get(self.url("/metrics")).send().await else { return Vec::new() };
        if !response.status().is_success() {
            return Vec::new();
        }
        health::drop_counters(&read(&mut response, MAX_METRICS).await)
    }

    async fn answer(&self, request: RequestBuilder) -> Answer {
        match request.send().await {
            Ok(mut response) => {
                let status = response.status().as_u16();
                let text = if status == 204 { String::new() } else { read(&mut response, MAX_ANSWER).await };
                classify::status(&self.place, status, &text)
            }
            Err(source) => Answer::Failed(classify::transport(&self.place, source)),
        }
    }
}

/// A request with this login.
pub(in crate::store) fn with_login(
    request: RequestBuilder,
    login: Option<&(String, Secret)>,
) -> RequestBuilder {
    match login {
        Some((user, password)) => request.basic_auth(user, Some(password.expose())),
        None => request,
    }
}

/// The beginning of an answer.
pub(in crate::store) async fn read(response: &mut reqwest::Response, most: usize) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < most
        && let Ok(Some(chunk)) = response.chunk().await
    {
        bytes.extend_from_slice(&chunk);
    }
    bytes.truncate(most);
    String::from_utf8_lossy(&bytes).into_owned()
}
