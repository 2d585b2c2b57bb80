//! The store elsewhere: InfluxDB 2 and 3 and what takes their write API (VictoriaMetrics), or InfluxDB 1.
//!
//! `influxdb2` 0.5.2 brings the client of the v2 API and nothing around it: batches, time-outs, waiting times and the
//! meaning of errors are here, and its types stay here. It drops a path in the base URL (`Url::set_path`), so a server
//! behind one (`https://host/influx`) gets the same request from [`http`] instead.

pub(super) mod classify;
mod health;
pub(super) mod http;
mod v2;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent_common::settings::Content;
use agent_common::settings::server::{Influx1, Influx2};
use agent_common::wire::line;
use agent_common::wire::stored::{RangeSet, Stored};
use link::Backoff;
use tokio::runtime::{Builder, Runtime};

use self::classify::Answer;
use self::http::Http;
use super::{Health, Note, Store, StoreError, Window, Written};

/// Lines after which a request is sent: what InfluxDB's own clients use. A window is never cut.
const BATCH_LINES: u64 = 5_000;
/// Bytes after which a request is sent; InfluxDB 2 refuses above 50 MB, VictoriaMetrics a line above 256 KiB only.
const BATCH_BYTES: usize = 4 << 20;
/// Streams whose numbers are remembered: 1,000 bytes each at worst, 100 as a rule. Above it all are forgotten, and
/// windows that come again are sent again, which changes nothing in the database.
const MAX_STREAMS: usize = 1 << 16;
/// Ranges kept of a stream.
const MAX_RANGES: usize = 64;

/// A password or token: never shown, never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret; white space around it (the newline at the end of its file) is cut off.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().trim().to_owned())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Which API, and the way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Api {
    /// `/api/v2/write`: InfluxDB 2 and 3, VictoriaMetrics.
    V2 {
        /// Organization.
        org: String,
        /// Bucket; VictoriaMetrics takes any.
        bucket: String,
        /// Token.
        token: Option<Secret>,
    },
    /// `/write`: InfluxDB 1, VictoriaMetrics.
    V1 {
        /// Database; made when it is not there.
        db: String,
        /// User and password.
        login: Option<(String, Secret)>,
    },
}

/// Where to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `http://host:8086`, `https://host/path`.
    pub url: String,
    /// Which API.
    pub api: Api,
    /// PEM file of the authorities to trust beside the well-known ones.
    pub ca_file: Option<PathBuf>,
    /// Longest time for one request, from connecting to the answer.
    pub timeout: Duration,
}

impl Options {
    /// With 30 s for a request: InfluxDB answers a batch in 5 to 200 ms; what takes longer is overloaded.
    pub fn new(url: impl Into<String>, api: Api) -> Self {
        Self { url: url.into(), api, ca_file: None, timeout: Duration::from_secs(30) }
    }

    /// Those of an operator who names InfluxDB 1. Reads its password.
    pub fn of_v1(settings: &Influx1) -> Result<Self, StoreError> {
        let password = settings.password.as_ref().map(secret).transpose()?;
        let login = settings.user.clone().map(|user| (user, password.unwrap_or_else(|| Secret::new(""))));
        let api = Api::V1 { db: settings.db.clone(), login };
        Ok(Self { ca_file: settings.ca_file.clone(), ..Self::new(&settings.url, api) })
    }

    /// Those of one who names InfluxDB 2. Reads its token.
    pub fn of_v2(settings: &Influx2) -> Result<Self, StoreError> {
        let token = settings.token.as_ref().map(secret).transpose()?;
        let api = Api::V2 { org: settings.org.clone(), bucket: settings.bucket.clone(), token };
        Ok(Self { ca_file: settings.ca_file.clone(), ..Self::new(&settings.url, api) })
    }
}

fn secret(content: &Content) -> Result<Secret, StoreError> {
    content.read().map(Secret::new).map_err(|source| {
        classify::misconfigured(format!("cannot read the secret in {content}"), Some(source.into()))
    })
}

/// See the module.
#[derive(Debug)]
pub struct InfluxStore {
    http: Http,
    /// `None`: through [`Http`].
    v2: Option<v2::Client>,
    options: Options,
    state: Mutex<State>,
    /// The store blocks; the clients are async.
    runtime: Mutex<Option<Runtime>>,
}

#[derive(Debug)]
struct State {
    stored: HashMap<(String, String), RangeSet>,
    backoff: Backoff,
    drops: health::Drops,
}

impl InfluxStore {
    /// Checks the settings. Does not connect to the server: it may start later, and [`Store::health`] reports its state.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        let http = Http::new(&options)?;
        let v2 = match &options.api {
            Api::V2 { org, bucket, token } if http.at_root() => Some(v2::Client::new(
                http.base(),
                http::builder(&options)?,
                org,
                bucket,
                token.as_ref().map_or("", Secret::expose),
            )?),
            _ => None,
        };
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|source| StoreError::Unavailable {
                what: "cannot start the database client".into(),
                retry_after: Duration::from_secs(1),
                source: Some(source.into()),
            })?;
        let state = State {
            stored: HashMap::new(),
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_mins(1)),
            drops: health::Drops::default(),
        };
        Ok(Self { http, v2, options, state: Mutex::new(state), runtime: Mutex::new(Some(runtime)) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> Result<T, StoreError> {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(runtime.as_ref().ok_or(StoreError::Closed)?.block_on(future))
    }

    /// One request.
    async fn post(&self, body: String) -> Answer {
        match (&self.v2, &self.options.api) {
            (Some(client), _) => client.write(body).await,
            (None, Api::V2 { org, bucket, token }) => {
                self.http.write_v2(org, bucket, token.as_ref(), body).await
            }
            (None, Api::V1 { db, login }) => {
                let answer = self.http.write_v1(db, login.as_ref(), body.clone()).await;
                if !answer.database_missing() {
                    return answer;
                }
                match self.http.create_database(db, login.as_ref()).await {
                    Answer::Done => self.http.write_v1(db, login.as_ref(), body).await,
                    refused => refused,
                }
            }
        }
    }

    /// Sends windows in one request; halves what the server finds too large.
    async fn send(&self, windows: &[&Window], written: &mut Written) -> Result<(), StoreError> {
        let mut parts = vec![windows];
        while let Some(part) = parts.pop() {
            let mut body = String::with_capacity(part.iter().map(|window| window.lines.len() + 200).sum());
            for window in part {
                line::encode_into(&mut body, &[window.head.to_point()]);
                body.push_str(&window.lines);
            }
            match self.post(body).await {
                Answer::Done => {}
                Answer::Partial { dropped, text } => {
                    written.refused += dropped;
                    written.refusal.get_or_insert(text);
                }
                Answer::TooLarge if part.len() > 1 => {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([right, left]);
                    continue;
                }
                Answer::TooLarge => {
                    return Err(StoreError::Rejected {
                        what: format!("{}: window too large", self.http.place()),
                    });
                }
                Answer::Failed(error) => return Err(error),
            }
            let mut state = self.state();
            for window in part {
                if state.stored.len() >= MAX_STREAMS {
                    state.stored.clear();
                }
                let key = (window.head.host.clone(), window.head.stream.clone());
                let set = state.stored.entry(key).or_default();
                set.insert(window.head.seq);
                set.cut(MAX_RANGES);
                written.windows += 1;
                written.points += window.points;
                written.samples +=
                    line::lines(&window.lines).flatten().map(|line| line.fields.len() as u64).sum::<u64>();
            }
        }
        Ok(())
    }

    async fn write_all(&self, windows: &[Window]) -> Result<Written, StoreError> {
        let mut written = Written::default();
        let mut fresh: Vec<&Window> = Vec::with_capacity(windows.len());
        {
            let state = self.state();
            for window in windows {
                let head = &window.head;
                let known = state.stored.get(&(head.host.clone(), head.stream.clone()));
                let same = |other: &&Window| {
                    (&other.head.host, &other.head.stream, other.head.seq)
                        == (&head.host, &head.stream, head.seq)
                };
                if known.is_some_and(|known| known.contains(head.seq)) || fresh.iter().any(same) {
                    written.duplicates += 1;
                } else {
                    fresh.push(window);
                }
            }
        }
        let mut rest = fresh.as_slice();
        while !rest.is_empty() {
            let (mut lines, mut bytes) = (0, 0);
            let fits = |window: &&&Window| {
                let first = lines == 0;
                lines += window.points + 1;
                bytes += window.lines.len();
                first || (lines <= BATCH_LINES && bytes <= BATCH_BYTES)
            };
            let (batch, after) = rest.split_at(rest.iter().take_while(fits).count());
            self.send(batch, &mut written).await?;
            rest = after;
        }
        Ok(written)
    }
}

impl Store for InfluxStore {
    fn write(&self, windows: &[Window]) -> Result<Written, StoreError> {
        // What a server like VictoriaMetrics has dropped before us is not ours.
        let first = self.state().drops.unknown();
        let result = self.block_on(async {
            if first {
                let counters = self.http.drop_counters().await;
                self.state().drops.begin(counters);
            }
            self.write_all(windows).await
        })?;
        let mut state = self.state();
        match result {
            Ok(written) => {
                state.backoff.succeeded();
                Ok(written)
            }
            Err(error) => Err(error.after(state.backoff.failed())),
        }
    }

    /// Alerts are points of measurement `alert`; a report is no time series and stays with the broker, which retains it.
    fn keep(&self, notes: &[Note]) -> Result<u64, StoreError> {
        let points: Vec<_> = notes.iter().filter_map(Note::to_point).collect();
        if points.is_empty() {
            return Ok(0);
        }
        match self.block_on(self.post(line::encode(&points)))? {
            Answer::Done => Ok(points.len() as u64),
            Answer::Partial { dropped, text } => {
                tracing::warn!(dropped, "the database refused alerts: {text}");
                Ok((points.len() as u64).saturating_sub(dropped))
            }
            Answer::TooLarge => {
                Err(StoreError::Rejected { what: format!("{}: alerts too large", self.http.place()) })
            }
            Answer::Failed(error) => Err(error.after(self.state().backoff.failed())),
        }
    }

    fn stored(&self, host: &str, stream: &str) -> Result<Stored, StoreError> {
        let state = self.state();
        let known = state.stored.get(&(host.to_owned(), stream.to_owned()));
        Ok(Stored::new(stream, known.unwrap_or(&RangeSet::default())))
    }

    fn streams(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut streams: Vec<_> = self.state().stored.keys().cloned().collect();
        streams.sort();
        Ok(streams)
    }

    fn health(&self) -> Result<Health, StoreError> {
        let (answer, counters) = self.block_on(async {
            let answer = self.http.health(matches!(self.options.api, Api::V1 { .. })).await;
            (answer, self.http.drop_counters().await)
        })?;
        if let Answer::Failed(error) = answer {
            return Err(error);
        }
        let dropped = self.state().drops.since(counters);
        let api = match &self.options.api {
            Api::V2 { bucket, .. } => format!("bucket {bucket}"),
            Api::V1 { db, .. } => format!("database {db}"),
        };
        Ok(Health { summary: format!("{}, {api}", self.http.place()), dropped, ..Health::default() })
    }

    fn close(&self) -> Result<(), StoreError> {
        if let Some(runtime) = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take() {
            runtime.shutdown_background();
        }
        Ok(())
    }
}

impl Drop for InfluxStore {
    fn drop(&mut self) {
        // Dropping a runtime inside an async task panics; the owner may well be one.
        let _ = self.close();
    }
}
