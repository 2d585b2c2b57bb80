//! Metrics, profiles and log lines of this host to other engines, beside MQTT: to stores that take Prometheus's remote write
//! (Prometheus, Mimir, Thanos, VictoriaMetrics), to Pyroscope, to Loki, to receivers of OTLP profiles and logs.
//!
//! Each window is added to running sums (`cumulative`); at each interval these become requests. Each block of profiles becomes a
//! request at once (`profiles`, in the words of `pyroscope` and `otlp`), each message of log lines one or more (`logs`, in those of
//! `loki` and `otlp_logs`). Requests wait in a bounded queue (`queue`) of each receiver for one task that sends them, oldest first,
//! and tries again what may work later (`send`). What falls out is counted and said.

mod cumulative;
mod exports;
mod logs;
mod loki;
mod otlp;
mod otlp_logs;
mod profiles;
mod pyroscope;
mod queue;
mod send;

use std::sync::Arc;
use std::time::Duration;

use agent_common::pair::ExportFigures;
use agent_common::settings::relay::RemoteWrite;
use agent_common::units::UnixNs;
use tokio::task::JoinHandle;

use self::cumulative::Cumulative;
pub use self::exports::{Exports, Gauges};
pub use self::logs::{LogExporter, LogFormat};
pub use self::profiles::{ProfileExporter, ProfileFormat};
use self::queue::Queue;
use self::send::{Sender, Target};

/// The setting.
const KEY: &str = "export.remote_write";
/// What metrics and profiles count in.
const SAMPLES: &str = "samples";

/// Where metrics go by remote write.
pub struct Exporter {
    cumulative: Cumulative,
    newest: Newest,
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

/// Tells how an exporter is.
#[derive(Debug, Clone)]
pub struct Gauge(Arc<Queue>);

impl Gauge {
    /// Counts so far, and what is wrong now.
    pub fn figures(&self) -> ExportFigures {
        self.0.figures()
    }
}

/// Stream and number of the newest message that was taken. A collector sends again what was not acknowledged.
#[derive(Debug, Default)]
struct Newest {
    stream: String,
    seq: u64,
}

impl Newest {
    /// Whether a message is new; it is the newest then.
    fn passes(&mut self, stream: &str, seq: u64) -> bool {
        let is_new = self.stream != stream || seq > self.seq;
        if is_new {
            *self = Self { stream: stream.to_owned(), seq };
        }
        is_new
    }
}

impl Exporter {
    /// Starts the sending task on the current runtime. An error is one line.
    pub fn start(settings: &RemoteWrite) -> Result<Self, String> {
        let queue = Arc::new(Queue::new(settings.max_bytes));
        let sender = Sender::new(&Target {
            key: KEY,
            what: SAMPLES,
            url: &settings.url,
            path: "",
            token: settings.token.as_ref(),
            timeout: settings.timeout,
            headers: &[
                ("content-type", remote_write::CONTENT_TYPE),
                ("content-encoding", remote_write::CONTENT_ENCODING),
                remote_write::VERSION,
            ],
            rejected: |_| None,
        })?;
        let task = tokio::spawn(sender.run(Arc::clone(&queue)));
        let cumulative = Cumulative::new(settings.interval);
        Ok(Self { cumulative, newest: Newest::default(), queue, task })
    }

    /// Adds a window, and queues what is due.
    pub fn window(&mut self, stream: &str, seq: u64, end: UnixNs, lines: &str) {
        if !self.newest.passes(stream, seq) {
            return;
        }
        for request in self.cumulative.add(end, lines) {
            let samples = request.timeseries.iter().map(|series| series.samples.len() as u64).sum();
            self.queue.push(request.encode_body(), samples);
        }
        self.queue.left_out(self.cumulative.take_left_out());
    }

    /// A handle that tells how it is.
    pub fn gauge(&self) -> Gauge {
        Gauge(Arc::clone(&self.queue))
    }

    /// Lets it send what is queued, as long as `most`.
    pub async fn close(self, most: Duration) {
        close((KEY, SAMPLES), &self.queue, self.task, most).await;
    }
}

/// Lets a task send what is queued, as long as `most`.
async fn close(
    (key, what): (&'static str, &'static str),
    queue: &Queue,
    task: JoinHandle<()>,
    most: Duration,
) {
    queue.close();
    let abort = task.abort_handle();
    if tokio::time::timeout(most, task).await.is_err() {
        abort.abort();
    }
    let waiting = queue.figures().waiting_samples;
    if waiting > 0 {
        tracing::warn!("{key}: {waiting} {what} were not sent in time and are lost");
    }
}
