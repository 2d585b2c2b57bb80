//! The daemon's end of the control socket.

use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_common::pair::ApiState;
use agent_common::units::Tgid;
use diagnosis::window::Window;
use postmortem::Facts;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, broadcast, mpsc};

use super::pid;
use super::postmortems::{PostMortems, Which};
use super::protocol::{
    Explained, Failure, FailureKind, MAX_REQUEST_BYTES, RecordingsStatus, Reply, ReplyLine, Request, Span,
    Status, Target, VERSION, parse_request, write_line,
};
use super::socket::ControlSocket;
use super::{AlertBoard, Answers};
use crate::aggregate::ReportOptions;
use crate::history::History;

/// Clients at once. Each costs a task and, while a flame graph is folded, a copy of its samples.
const MAX_CLIENTS: usize = 16;

/// Bytes of an answer that are written at once.
const PIECE_BYTES: usize = 64 << 10;

/// A client that does not take a piece of its answer in this time is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest span a client may ask to wait for.
const MAX_WAIT: Duration = Duration::from_hours(24);

/// What the clients are answered from.
#[derive(Debug)]
pub struct Daemon {
    /// Windows.
    pub history: Arc<History>,
    /// Names and the like.
    pub answers: Answers,
    /// Alerts.
    pub board: Arc<AlertBoard>,
    /// Post-mortems.
    pub postmortems: Arc<PostMortems>,
    /// Windows on disk.
    pub recordings: Arc<Mutex<RecordingsStatus>>,
    /// When it started.
    pub started: Instant,
    /// The HTTP API of its server part.
    pub api: Arc<Mutex<ApiState>>,
}

/// Answers clients until the future is dropped.
pub async fn serve(socket: ControlSocket, daemon: Arc<Daemon>) {
    let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let stream = match socket.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: accepting at once again would spin.
                tracing::warn!(%error, "cannot accept a control client");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (daemon, slots) = (Arc::clone(&daemon), Arc::clone(&slots));
        tokio::spawn(async move {
            let mut client = Connection::new(stream);
            let done = match slots.try_acquire() {
                Ok(_slot) => converse(&mut client, &daemon).await,
                Err(_) => client.fail(FailureKind::Busy, "too many clients ask the daemon at once").await,
            };
            if let Err(error) = done {
                tracing::debug!(%error, "a control client went away");
            }
        });
    }
}

/// The writing end of an answer whose pieces go to a client's socket.
struct Pieces(mpsc::Sender<Vec<u8>>);

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(piece.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both halves of a client's socket.
#[derive(Debug)]
struct Connection {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Connection {
    fn new(stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        Self { read: BufReader::new(read), write }
    }

    /// Sends a line piece by piece: that of a host's flame graph is tens of MiB, and is nowhere in memory as a whole.
    async fn send(&mut self, reply: Reply) -> io::Result<()> {
        let (pieces, mut taken) = mpsc::channel(1);
        let written = tokio::task::spawn_blocking(move || {
            let mut pieces = BufWriter::with_capacity(PIECE_BYTES, Pieces(pieces));
            write_line(&mut pieces, &ReplyLine { v: VERSION, reply })?;
            pieces.flush()
        });
        while let Some(piece) = taken.recv().await {
            tokio::time::timeout(WRITE_TIMEOUT, self.write.write_all(&piece))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        }
        written.await?
    }

    async fn fail(&mut self, kind: FailureKind, message: impl Into<String>) -> io::Result<()> {
        self.send(Reply::Error(Failure::new(kind, message))).await
    }

    /// The next request line; `None` at the end.
    async fn request(&mut self) -> io::Result<Option<String>> {
        let mut text = Vec::new();
        let read = (&mut self.read).take(MAX_REQUEST_BYTES as u64).read_until(b'\n', &mut text).await?;
        if read == MAX_REQUEST_BYTES && text.last() != Some(&b'\n') {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "request line too long"));
        }
        Ok((read > 0).then(|| String::from_utf8_lossy(&text).into_owned()))
    }

    /// Resolves when the client has had enough: it closed its writing half, or is gone, or talks out of turn.
    async fn enough(&mut self) {
        let _ = self.read.fill_buf().await;
    }
}

async fn converse(client: &mut Connection, daemon: &Daemon) -> io::Result<()> {
    loop {
        let text = match client.request().await {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return client.fail(FailureKind::BadRequest, error.to_string()).await;
            }
            Err(error) => return Err(error),
        };
        match parse_request(&text) {
            Err(failure) => client.send(Reply::Error(failure)).await?,
            Ok(Request::Watch { top_n }) => return watch(client, daemon, top_n).await,
            Ok(Request::Alerts { follow }) => return alerts(client, daemon, follow).await,
            Ok(Request::Status) => client.send(Reply::Status(Box::new(status(daemon)))).await?,
            Ok(Request::Explain { which, facts }) => {
                let reply = explain(&daemon.postmortems, &which, facts).unwrap_or_else(Reply::Error);
                client.send(reply).await?;
            }
            Ok(request) => {
                let reply = answer(client, daemon, request).await.unwrap_or_else(Reply::Error);
                let sent = client.send(reply).await;
                crate::heap::give_back();
                sent?;
            }
        }
    }
}

async fn answer(client: &mut Connection, daemon: &Daemon, request: Request) -> Result<Reply, Failure> {
    let (span, pid) = match &request {
        Request::Flamegraph { span, target: Target::Pid(pid), .. }
        | Request::Syscalls { span, pid: Some(pid) }
        | Request::Report { span, pid: Some(pid), .. }
        | Request::Page { span, pid: Some(pid), .. } => (*span, Some(*pid)),
        Request::Flamegraph { span, .. }
        | Request::Syscalls { span, .. }
        | Request::Report { span, .. }
        | Request::Page { span, .. } => (*span, None),
        // `converse` has answered these.
        Request::Status | Request::Watch { .. } | Request::Alerts { .. } | Request::Explain { .. } => {
            (Span::LastMs(0), None)
        }
    };
    let (windows, ended_early) = match span {
        Span::LastMs(ms) => past(daemon, Duration::from_millis(ms), pid)?,
        Span::NextMs(ms) => future(client, daemon, Duration::from_millis(ms).min(MAX_WAIT), pid).await?,
    };
    if windows.is_empty() {
        return Err(Failure::new(
            FailureKind::NoData,
            "the daemon has no window of that time yet: it has only just started, or is ending",
        ));
    }
    let answers = daemon.answers.clone();
    // Folding and sums over minutes take CPU time that the socket's other clients should not wait for.
    tokio::task::spawn_blocking(move || match request {
        Request::Flamegraph { target, fold, mode, no_idle, timeline, .. } => answers
            .flamegraph(&windows, target, fold, mode, no_idle, timeline)
            .map(|profile| Reply::Flamegraph(Box::new(super::protocol::Profile { ended_early, ..profile }))),
        Request::Syscalls { pid, .. } => Ok(Reply::Syscalls(answers.syscalls(&windows, pid.map(Tgid)))),
        Request::Report { top_n, pid, .. } => {
            Ok(Reply::Report(Box::new(answers.report(&windows, &report_options(top_n, pid)))))
        }
        Request::Page { top_n, pid, .. } => {
            answers.page(&windows, &report_options(top_n, pid)).map(|page| Reply::Page(Box::new(page)))
        }
        Request::Status | Request::Watch { .. } | Request::Alerts { .. } | Request::Explain { .. } => {
            Err(Failure::new(FailureKind::Broken, "a stream is not a question"))
        }
    })
    .await
    .unwrap_or_else(|error| Err(Failure::new(FailureKind::Broken, error.to_string())))
}

fn explain(postmortems: &PostMortems, which: &Which, facts: bool) -> Result<Reply, Failure> {
    let seen = if facts { postmortems.facts(which) } else { None };
    let kept = postmortems.find(which);
    // Facts and post-mortem are of one end.
    let kept = kept.filter(|kept| seen.as_ref().is_none_or(|seen| seen.process == kept.facts.process));
    let is_found = if facts { seen.is_some() } else { kept.is_some() };
    if !is_found {
        let what = match which {
            Which::Last => "no process has ended badly since the daemon looks".to_owned(),
            Which::Pid(pid) => format!(
                "there is no post-mortem of process {pid}: it runs, or ended as it is meant to, or long ago"
            ),
            Which::Unit(unit) => format!("there is no post-mortem of unit {unit}"),
            Which::Event(id) => format!("there is no post-mortem {id}"),
        };
        return Err(Failure::new(FailureKind::NoData, what));
    }
    Ok(Reply::Explained(Box::new(Explained {
        id: kept.as_ref().map(|kept| kept.id.clone()).unwrap_or_default(),
        postmortem: kept.map(|kept| kept.postmortem.clone()),
        facts: seen.map(|seen| Facts::clone(&seen)),
    })))
}

fn report_options(top_n: usize, pid: Option<u32>) -> ReportOptions {
    ReportOptions { top_n, pid: pid.map(Tgid) }
}

/// Windows and why they are fewer than asked for.
type Windows = (Vec<Arc<Window>>, Option<String>);

fn past(daemon: &Daemon, span: Duration, pid: Option<u32>) -> Result<Windows, Failure> {
    let windows = daemon.history.last(span);
    if let Some(pid) = pid {
        let seen = windows.iter().any(|window| {
            window.samples.iter().any(|sample| sample.tgid == pid)
                || window.exits.iter().any(|exit| exit.tgid.0 == pid)
                || window.syscalls.iter().any(|row| row.tgid.0 == pid)
                || window.times.iter().any(|row| row.tgid.0 == pid)
        });
        if !seen {
            pid::find(pid).map_err(|error| Failure::new(FailureKind::NoProcess, error.to_string()))?;
        }
    }
    let kept = Duration::from_secs_f64(super::answer::seconds(&windows)).min(daemon.history.samples_reach());
    let short = kept + Duration::from_secs(1) < span;
    let note = short.then(|| format!("the daemon remembers {} s", kept.as_secs()));
    Ok((windows, note))
}

/// The full windows that begin from now on, until the span is over, the client has enough or the process is gone.
async fn future(
    client: &mut Connection,
    daemon: &Daemon,
    span: Duration,
    pid: Option<u32>,
) -> Result<Windows, Failure> {
    if let Some(pid) = pid {
        let exit =
            || daemon.history.all().iter().flat_map(|w| &w.exits).rfind(|exit| exit.tgid.0 == pid).cloned();
        pid::find(pid).map_err(|error| match exit() {
            Some(exit) => Failure::new(
                FailureKind::NoProcess,
                format!(
                    "process {pid} ({}) has exited ({}); `--last 5m` shows what it did",
                    exit.comm,
                    if exit.signal > 0 {
                        format!("signal {}", exit.signal)
                    } else {
                        format!("code {}", exit.code)
                    }
                ),
            ),
            None => Failure::new(FailureKind::NoProcess, error.to_string()),
        })?;
    }
    let mut subscription = daemon.history.subscribe();
    let begin = crate::clock::mono();
    let (mut windows, mut seen) = (Vec::new(), Duration::ZERO);
    let mut enough = false;
    while seen < span {
        let window = tokio::select! {
            () = client.enough(), if !enough => {
                enough = true;
                if windows.is_empty() { continue }
                return Ok((windows, Some("ended early".to_owned())));
            }
            window = subscription.next() => window,
        };
        let Some(window) = window else { break };
        // The window that was already running when the question came is left out: it is not all ours.
        if window.start >= begin {
            seen += Duration::from_nanos(window.span().0);
            // A thread's beat may be some milliseconds short of a second.
            seen += Duration::from_millis(20);
        } else if !enough {
            continue;
        }
        let gone = pid.filter(|pid| window.exits.iter().any(|exit| exit.tgid.0 == *pid));
        windows.push(window);
        if let Some(pid) = gone {
            return Ok((windows, Some(format!("process {pid} exited"))));
        }
        if enough {
            return Ok((windows, Some("ended early".to_owned())));
        }
    }
    Ok((windows, None))
}

async fn watch(client: &mut Connection, daemon: &Daemon, top_n: usize) -> io::Result<()> {
    let mut subscription = daemon.history.subscribe();
    loop {
        let window = tokio::select! {
            () = client.enough() => return Ok(()),
            window = subscription.next() => window,
        };
        let Some(window) = window else { return Ok(()) };
        client
            .send(Reply::Report(Box::new(daemon.answers.glance(&[window], &report_options(top_n, None)))))
            .await?;
    }
}

async fn alerts(client: &mut Connection, daemon: &Daemon, follow: bool) -> io::Result<()> {
    let (open, mut changes) = daemon.board.follow();
    for alert in open {
        client.send(Reply::Alert(Box::new(alert))).await?;
    }
    if !follow {
        return Ok(());
    }
    loop {
        let change = tokio::select! {
            () = client.enough() => return Ok(()),
            change = changes.recv() => change,
        };
        match change {
            Ok(alert) => client.send(Reply::Alert(Box::new(alert))).await?,
            Err(broadcast::error::RecvError::Lagged(missed)) => client.send(Reply::Lagged(missed)).await?,
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}

fn status(daemon: &Daemon) -> Status {
    let newest = daemon.history.last(Duration::from_nanos(1)).pop();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        host: daemon.answers.host.to_string(),
        rate_hz: daemon.answers.rate_hz,
        uptime_s: daemon.started.elapsed().as_secs(),
        history: daemon.history.stats(),
        coverage: newest.as_ref().map(|window| window.coverage.clone()).unwrap_or_default(),
        self_cost: newest.map(|window| window.self_cost.clone()).unwrap_or_default(),
        open_alerts: daemon.board.count() as u64,
        api: daemon.api.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        recordings: daemon.recordings.lock().unwrap_or_else(PoisonError::into_inner).clone(),
    }
}
