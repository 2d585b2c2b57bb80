//! Socket, protocol and answers together, over a history built from windows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_common::units::{DurNs, MonoNs, Tgid};
use agent_common::wire::finding::AlertState;
use diagnosis::window::{SyscallAbi, SyscallRow, Window};
use flamegraphs::{Symbolizer, SymbolizerOptions};
use profile::{FoldOptions, Mode};

use super::protocol::{FailureKind, Reply, Request, Span, Target};
use super::server::{Daemon, serve};
use super::socket::{ControlSocket, ListenError};
use super::{AlertBoard, Answers, Client, ClientError, PostMortems};
use crate::history::tests::window;
use crate::history::{History, Limits};
use agent_common::wire::finding::testing::alert;

/// A daemon without a collector: the test pushes the windows.
struct Fixture {
    dir: tempfile::TempDir,
    daemon: Arc<Daemon>,
}

impl Fixture {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = ControlSocket::bind(&dir.path().join("agent.sock")).unwrap();
        let daemon = Arc::new(Daemon {
            history: Arc::new(History::new(Limits::COMMAND)),
            answers: Answers {
                names: Symbolizer::spawn(SymbolizerOptions::default()).unwrap().into(),
                host: "here".into(),
                rate_hz: 97,
            },
            board: Arc::new(AlertBoard::default()),
            postmortems: Arc::new(PostMortems::of(dir.path())),
            recordings: Arc::default(),
            started: Instant::now(),
            api: Arc::default(),
        });
        tokio::spawn(serve(socket, Arc::clone(&daemon)));
        Self { dir, daemon }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.dir.path().join("agent.sock")).await.unwrap().expect("a daemon")
    }

    async fn ask(&self, request: Request) -> Result<Reply, ClientError> {
        self.client().await.ask(request, std::future::pending()).await
    }

    /// Pushes windows of the present until the answer is there: whoever waits for the future needs one.
    async fn ask_future(
        &self,
        request: Request,
        enough: impl Future<Output = ()>,
    ) -> Result<Reply, ClientError> {
        let mut client = self.client().await;
        let asking = client.ask(request, enough);
        tokio::pin!(asking);
        loop {
            tokio::select! {
                reply = &mut asking => return reply,
                () = tokio::time::sleep(Duration::from_millis(5)) => self.daemon.history.push(now()),
            }
        }
    }
}

/// A window that begins now and spans a second: the clock of the test need not wait for it.
fn now() -> Window {
    let start = crate::clock::mono();
    Window { start, end: MonoNs(start.0 + 1_000_000_000), ..with_calls(0) }
}

fn with_calls(n: u64) -> Window {
    let row = SyscallRow {
        tgid: Tgid(42),
        generation: 0,
        comm: "worker".into(),
        abi: SyscallAbi::Native,
        nr: 39,
        count: 10,
        errors: 1,
        errnos: vec![(2, 1)],
        timed: 0,
        total: DurNs(0),
        max: DurNs(0),
        histogram: Vec::new(),
    };
    Window { syscalls: vec![row], ..window(n, 3, 2) }
}

#[tokio::test]
async fn the_past_is_answered_from_memory() {
    let fixture = Fixture::start();
    for n in 0..5 {
        fixture.daemon.history.push(with_calls(n));
    }
    let request = Request::Syscalls { pid: Some(42), span: Span::LastMs(3000) };
    let Reply::Syscalls(report) = fixture.ask(request).await.unwrap() else { panic!() };
    assert_eq!((report.rows.len(), report.rows[0].count, report.rows[0].errors), (1, 30, 3));

    let request = Request::Flamegraph {
        target: Target::Pid(42),
        span: Span::LastMs(60_000),
        fold: FoldOptions::default(),
        mode: Mode::OnCpu,
        no_idle: false,
        timeline: false,
    };
    let Reply::Flamegraph(profile) = fixture.ask(request).await.unwrap() else { panic!() };
    assert_eq!((profile.samples, profile.folded.total()), (15, 15));
    assert_eq!(profile.comm.as_deref(), Some("worker"));
    assert_eq!(profile.ended_early.as_deref(), Some("the daemon remembers 5 s"));

    let Reply::Report(report) =
        fixture.ask(Request::Report { span: Span::LastMs(5000), top_n: 5, pid: None }).await.unwrap()
    else {
        panic!()
    };
    assert_eq!((report.host.as_str(), report.window_s.round() as u64), ("here", 5));
}

#[tokio::test]
async fn a_request_waits_for_future_windows_and_ends_early_on_request() {
    let fixture = Fixture::start();
    fixture.daemon.history.push(with_calls(0));
    let request = Request::Syscalls { pid: None, span: Span::NextMs(3000) };
    let Reply::Syscalls(report) = fixture.ask_future(request, std::future::pending()).await.unwrap() else {
        panic!()
    };
    assert_eq!(report.rows[0].count, 30, "the window that was there before is not in it");

    let us = std::process::id();
    let request = Request::Flamegraph {
        target: Target::Pid(us),
        span: Span::NextMs(3_600_000),
        fold: FoldOptions::default(),
        mode: Mode::OnCpu,
        no_idle: false,
        timeline: false,
    };
    let Reply::Flamegraph(profile) = fixture.ask_future(request, std::future::ready(())).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(profile.ended_early.as_deref(), Some("ended early"));
}

#[tokio::test]
async fn a_process_that_is_not_there_is_refused_with_its_reason() {
    let fixture = Fixture::start();
    fixture.daemon.history.push(with_calls(0));
    for span in [Span::NextMs(1000), Span::LastMs(1000)] {
        let request = Request::Syscalls { pid: Some(u32::MAX), span };
        let Err(ClientError::Refused(failure)) = fixture.ask(request).await else { panic!() };
        assert_eq!(failure.kind, FailureKind::NoProcess);
        assert!(failure.message.contains("no process has PID"), "{failure}");
    }
}

#[tokio::test]
async fn alerts_are_followed_from_what_is_open() {
    let fixture = Fixture::start();
    fixture.daemon.board.post(&alert("a", AlertState::Open));
    let mut client = fixture.client().await;
    client.send(Request::Alerts { follow: true }).await.unwrap();
    let Some(Reply::Alert(open)) = client.next().await.unwrap() else { panic!() };
    assert_eq!((open.id.as_str(), open.state), ("a", AlertState::Open));
    fixture.daemon.board.post(&alert("a", AlertState::Resolved));
    let Some(Reply::Alert(over)) = client.next().await.unwrap() else { panic!() };
    assert_eq!(over.state, AlertState::Resolved);

    let mut client = fixture.client().await;
    client.send(Request::Alerts { follow: false }).await.unwrap();
    assert!(client.next().await.unwrap().is_none());
}

#[tokio::test]
async fn several_questions_go_over_one_connection_and_nonsense_is_answered() {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    let fixture = Fixture::start();
    let stream = tokio::net::UnixStream::connect(fixture.dir.path().join("agent.sock")).await.unwrap();
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    for (line, word) in
        [("nonsense\n", "bad_request"), ("{\"v\":2,\"ask\":\"status\"}\n", "\"host\":\"here\"")]
    {
        write.write_all(line.as_bytes()).await.unwrap();
        let answer = lines.next_line().await.unwrap().unwrap();
        assert!(answer.contains(word), "{answer}");
    }
    let long = vec![b'x'; super::protocol::MAX_REQUEST_BYTES + 1];
    write.write_all(&long).await.unwrap();
    assert!(lines.next_line().await.unwrap().unwrap().contains("too long"));
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run").join("agent.sock");
    assert!(Client::connect(&path).await.unwrap().is_none(), "no socket: no daemon");
    let socket = ControlSocket::bind(&path).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert!(matches!(ControlSocket::bind(&path), Err(ListenError::Taken { .. })));
    drop(socket);

    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert!(Client::connect(&path).await.unwrap().is_none(), "no process listens on the file: no daemon");
    ControlSocket::bind(&path).unwrap();
}
