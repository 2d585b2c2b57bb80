//! Profiles to another engine: each block of the history becomes one request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_common::settings::relay::{EngineExport, Settings};
use agent_common::text;
use agent_common::units::UnixNs;
use profile::block::{Block, Group, Looked, Shown, unpack};
use profile::{Point, Timeline};
use tokio::task::JoinHandle;

use super::queue::Queue;
use super::send::{Sender, Target};
use super::{Gauge, Newest, SAMPLES, otlp, pyroscope};

/// Digits of a container's id that are shown, as its runtime does.
const CONTAINER_DIGITS: usize = 12;

/// What a receiver of profiles understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileFormat {
    /// Pyroscope's push API with pprof.
    Pyroscope,
    /// OTLP over HTTP.
    Otlp,
}

impl ProfileFormat {
    /// The setting that names the receiver.
    const fn key(self) -> &'static str {
        match self {
            Self::Pyroscope => "export.pyroscope",
            Self::Otlp => "export.otlp_profiles",
        }
    }

    fn encode(self, profiles: &Profiles) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Pyroscope => pyroscope::encode(profiles),
            Self::Otlp => otlp::encode(profiles),
        }
    }
}

/// Where profiles go.
pub struct ProfileExporter {
    format: ProfileFormat,
    host: String,
    newest: Newest,
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

/// A block as its receivers see it.
#[derive(Debug)]
pub(super) struct Profiles {
    pub(super) host: String,
    pub(super) from: UnixNs,
    pub(super) length_ns: u64,
    /// Time between two samples of a CPU, ns.
    pub(super) period_ns: u64,
    /// What ran and what waited, without the points.
    pub(super) timelines: [Timeline; 2],
    /// Of each service the points of what ran and of what waited, as far as there are any.
    pub(super) services: BTreeMap<Service, BTreeMap<Looked, Vec<Point>>>,
}

/// Whose profile it is: processes of one name in one container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Service {
    pub(super) name: String,
    /// Empty: none.
    pub(super) container: String,
}

impl ProfileExporter {
    /// Starts those that are configured, on the current runtime. An error is one line.
    pub fn start_all(settings: &Settings) -> Result<Vec<Self>, String> {
        let all =
            [(ProfileFormat::Pyroscope, &settings.pyroscope), (ProfileFormat::Otlp, &settings.otlp_profiles)];
        let configured = all.into_iter().filter_map(|(format, export)| Some((format, export.as_ref()?)));
        configured.map(|(format, export)| Self::start(format, export, &settings.host)).collect()
    }

    /// Starts one.
    pub fn start(format: ProfileFormat, export: &EngineExport, host: &str) -> Result<Self, String> {
        let (path, headers, rejected): (_, &[_], _) = match format {
            ProfileFormat::Pyroscope => (pyroscope::PATH, &pyroscope::HEADERS[..], pyroscope::rejected as _),
            ProfileFormat::Otlp => (otlp::PATH, &otlp::HEADERS[..], otlp::rejected as fn(&[u8]) -> _),
        };
        let sender = Sender::new(&Target {
            key: format.key(),
            what: SAMPLES,
            url: &export.url,
            path,
            token: export.token.as_ref(),
            timeout: export.timeout,
            headers,
            rejected,
        })?;
        let queue = Arc::new(Queue::new(export.max_bytes));
        let task = tokio::spawn(sender.run(Arc::clone(&queue)));
        Ok(Self { format, host: host.to_owned(), newest: Newest::default(), queue, task })
    }

    /// What it speaks.
    pub const fn format(&self) -> ProfileFormat {
        self.format
    }

    /// Queues a block's message. The evidence of an alert is not sent: its samples are in the history, too.
    pub fn block(&mut self, spool: &str, seq: u64, message: &[u8]) {
        if !self.newest.passes(spool, seq) {
            return;
        }
        let key = self.format.key();
        let block = match unpack(message) {
            Ok(block) if block.alerts.is_empty() && !block.is_empty() => block,
            Ok(_) => return,
            Err(error) => {
                tracing::error!(error = text::chain(&error), "{key}: a block of profiles is damaged");
                return self.queue.left_out(1);
            }
        };
        let samples = Looked::ALL.map(|looked| block.total(looked).0).iter().sum();
        match self.format.encode(&Profiles::new(&block, &self.host)) {
            Ok(body) => self.queue.push(body, samples),
            Err(error) => {
                tracing::error!(%error, "{key}: a block of profiles cannot be written");
                self.queue.left_out(samples);
            }
        }
    }

    /// A handle that tells how it is.
    pub fn gauge(&self) -> Gauge {
        Gauge(Arc::clone(&self.queue))
    }

    /// Lets it send what is queued, as long as `most`.
    pub async fn close(self, most: Duration) {
        super::close((self.format.key(), SAMPLES), &self.queue, self.task, most).await;
    }
}

impl Profiles {
    pub(super) fn new(block: &Block, host: &str) -> Self {
        let of: Vec<Service> = block
            .groups
            .iter()
            .map(|group| Service { name: text::clean(&group.comm), container: container(group) })
            .collect();
        let mut services: BTreeMap<Service, BTreeMap<Looked, Vec<Point>>> = BTreeMap::new();
        let timelines = Looked::ALL.map(|looked| {
            let is_cpu = looked == Looked::Cpu;
            let shown = Shown { cpu: is_cpu, waits: !is_cpu, ..Shown::default() };
            let mut timeline = block.timeline(&shown, |group| container(group).into());
            for point in std::mem::take(&mut timeline.points) {
                let Some(service) = of.get(point.thread as usize) else { continue };
                services.entry(service.clone()).or_default().entry(looked).or_default().push(point);
            }
            timeline
        });
        Self {
            host: host.to_owned(),
            from: block.from,
            length_ns: block.to().0.saturating_sub(block.from.0),
            period_ns: 1_000_000_000_u64.checked_div(block.rate_hz.into()).unwrap_or(0),
            timelines,
            services,
        }
    }

    /// Frames, stacks and processes of the points.
    pub(super) fn timeline(&self, looked: Looked) -> &Timeline {
        &self.timelines[usize::from(looked == Looked::Wait)]
    }
}

fn container(group: &Group) -> String {
    group.container.chars().take(CONTAINER_DIGITS).collect()
}
