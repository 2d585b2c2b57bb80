//! A relay that lies, floods, stalls or dies.

use std::path::PathBuf;

use agent_common::pair::{
    Ack, Dropped, Item, Live, LiveAnswer, LiveFailureKind, LiveQuestion, LiveSpan, NewWindow, SinkFigures,
    SpoolFigures, Stream, encode,
};
use agent_common::settings::relay::{Delivery, Log, Spool};
use agent_common::units::{DurNs, UnixNs};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::super::questions::Answerer;
use super::*;
use crate::outbox::MAX_BYTES;

fn settings() -> Settings {
    Settings {
        host: "here".to_owned(),
        log: Log::default(),
        broker: None,
        delivery: Delivery::Store,
        spool: Spool { dir: PathBuf::from("/nowhere"), max_bytes: 0, max_age: Duration::ZERO },
        server: None,
        webhook: None,
        remote_write: None,
        pyroscope: None,
        otlp_profiles: None,
        loki: None,
        otlp_logs: None,
    }
}

fn window(bytes: usize) -> NewWindow {
    NewWindow { end: UnixNs(1), span: DurNs(1), points: 1, body: vec![b'x'; bytes] }
}

/// The relay's end of a connection to a daemon.
struct Relay {
    stream: UnixStream,
    decoder: Decoder,
    daemon: JoinHandle<Result<(), Broken>>,
    shared: Arc<Shared>,
}

impl Relay {
    fn connect(shared: &Arc<Shared>) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let talk = Talk {
            shared: Arc::clone(shared),
            settings: settings(),
            broker: Arc::new(|| Ok(BrokerAccess::new("mqtt://elsewhere"))),
            started: Some(oneshot::channel().0),
            alerts: mpsc::channel(8).0,
        };
        let daemon = tokio::spawn(talk.run(theirs));
        let decoder = Decoder::new(agent_common::pair::MAX_TO_RELAY);
        Self { stream: ours, decoder, daemon, shared: Arc::clone(shared) }
    }

    /// One that has been greeted and is ready.
    async fn ready() -> Self {
        let mut relay = Self::connect(&Arc::default());
        relay.is_ready("0123456789abcdef", 1).await;
        while !lock(&relay.shared.outbox).goes_on() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        relay
    }

    async fn is_ready(&mut self, windows: &str, next_seq: u64) {
        assert!(matches!(self.receive().await, ToRelay::Hello(_)));
        let ready = Ready {
            version: VERSION,
            windows: windows.to_owned(),
            next_seq,
            profiles: "0".repeat(16),
            next_profile: 1,
            logs: "00000000000000cc".to_owned(),
            next_log: 1,
            broker: None,
        };
        self.send(&FromRelay::Ready(ready)).await;
    }

    async fn receive(&mut self) -> ToRelay {
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return ToRelay::decode(&frame).unwrap();
            }
            let read = self.stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the daemon has closed");
            self.decoder.push(&buffer[..read]);
        }
    }

    async fn item(&mut self) -> Item {
        match self.receive().await {
            ToRelay::Item(item) => item,
            other => panic!("{other:?}"),
        }
    }

    async fn send(&mut self, message: &FromRelay) {
        self.bytes(&message.encode()).await;
    }

    async fn bytes(&mut self, bytes: &[u8]) {
        // The daemon may have had enough in the middle.
        let _ = self.stream.write_all(bytes).await;
    }

    /// How the daemon ended it.
    async fn broken(self) -> Broken {
        let ended = tokio::time::timeout(Duration::from_mins(1), self.daemon).await;
        ended.expect("the daemon ends it").unwrap().expect_err("not in order")
    }
}

#[tokio::test]
async fn windows_go_to_the_relay_and_to_the_next_one_when_it_dies() {
    let mut relay = Relay::ready().await;
    let shared = Arc::clone(&relay.shared);
    // Handed over while there is a relay, and while there is none.
    for _ in 0..2 {
        lock(&shared.outbox).window(Stream::Metrics, window(10));
        shared.wake.notify_one();
    }
    let (first, second) = (relay.item().await, relay.item().await);
    assert_eq!((first.head.seq, second.head.seq, first.head.windows.as_str()), (1, 2, "0123456789abcdef"));
    relay.send(&FromRelay::Ack(Ack { stream: Stream::Metrics, ranges: vec![(1, 1)] })).await;
    while lock(&shared.outbox).counts(Stream::Metrics).acked == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(relay.stream);
    relay.daemon.await.unwrap().expect("it ended");
    lock(&shared.outbox).window(Stream::Metrics, window(10));
    let mut next = Relay::connect(&shared);
    // Its spool says what it likes: numbers of windows go on. (This test's relays are all first ones; so is the daemon's.)
    next.is_ready("0123456789abcdef", 4).await;
    let sent = [next.item().await.head.seq, next.item().await.head.seq];
    assert_eq!(sent, [2, 3]);
    assert_eq!(lock(&shared.outbox).counts(Stream::Metrics).lost, 0);
}

#[tokio::test]
async fn garbage_ends_the_connection() {
    let mut seed = 1_u64;
    for _ in 0..50 {
        let mut relay = Relay::ready().await;
        let garbage: Vec<u8> = (0..200)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 56) as u8
            })
            .collect();
        relay.bytes(&garbage).await;
        let broken = relay.broken().await;
        assert!(matches!(broken, Broken::Frame(_) | Broken::Message(_)), "{broken}");
    }
}

#[tokio::test]
async fn a_huge_frame_is_refused_before_it_is_read() {
    let mut relay = Relay::ready().await;
    let mut header = encode(131, &[]);
    header[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    relay.bytes(&header).await;
    assert!(matches!(relay.broken().await, Broken::Frame(FrameError::TooLarge { .. })));
}

#[tokio::test]
async fn an_acknowledgement_of_what_was_never_sent_ends_the_connection() {
    let mut relay = Relay::ready().await;
    lock(&relay.shared.outbox).window(Stream::Metrics, window(10));
    relay.shared.wake.notify_one();
    relay.item().await;
    relay.send(&FromRelay::Ack(Ack { stream: Stream::Metrics, ranges: vec![(1, u64::MAX)] })).await;
    let shared = Arc::clone(&relay.shared);
    assert!(matches!(relay.broken().await, Broken::NeverSent(_)));
    assert_eq!(lock(&shared.outbox).counts(Stream::Metrics).waiting, 1, "the next relay gets it");
}

#[tokio::test]
async fn a_flood_of_good_messages_ends_the_connection() {
    let mut relay = Relay::ready().await;
    let figures = FromRelay::Figures(Box::default());
    for _ in 0..4 * MAX_FRAMES_BURST {
        relay.send(&figures).await;
    }
    assert!(matches!(relay.broken().await, Broken::Flood));
}

#[tokio::test]
async fn messages_out_of_turn_end_the_connection() {
    let mut relay = Relay::ready().await;
    relay.send(&FromRelay::Failed("too late".to_owned())).await;
    assert!(matches!(relay.broken().await, Broken::OutOfTurn));

    let mut early = Relay::connect(&Arc::default());
    early.send(&FromRelay::Figures(Box::default())).await;
    assert!(matches!(early.broken().await, Broken::OutOfTurn));

    for (windows, next_seq) in [("a b,c=d", 1), ("", 1), ("0123456789abcdef", u64::MAX)] {
        let mut liar = Relay::connect(&Arc::default());
        liar.is_ready(windows, next_seq).await;
        assert!(matches!(liar.broken().await, Broken::OutOfTurn), "{windows} {next_seq}");
    }
}

#[tokio::test]
async fn a_relay_that_does_not_read_costs_windows_and_no_memory() {
    let relay = Relay::ready().await;
    while !lock(&relay.shared.figures).connected {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..64 {
        lock(&relay.shared.outbox).window(Stream::Metrics, window(1 << 20));
        relay.shared.wake.notify_one();
        tokio::task::yield_now().await;
    }
    let outbox = lock(&relay.shared.outbox);
    let counts = outbox.counts(Stream::Metrics);
    assert!(outbox.bytes() <= MAX_BYTES, "{} bytes", outbox.bytes());
    // One is on its way: it is unknown yet whether the relay has it.
    assert!(counts.lost >= 64 - 9 && counts.lost + counts.waiting <= 64, "{counts:?}");
}

#[tokio::test]
async fn a_question_is_answered_and_the_same_not_again_at_once() {
    let mut relay = Relay::ready().await;
    for _ in 0..3 {
        relay.send(&FromRelay::Question(Question::Broker)).await;
    }
    match relay.receive().await {
        ToRelay::Answer(answer) => assert_eq!(*answer, Answer::Broker(BrokerAccess::new("mqtt://elsewhere"))),
        other => panic!("{other:?}"),
    }
    lock(&relay.shared.outbox).window(Stream::Metrics, window(10));
    relay.shared.wake.notify_one();
    relay.item().await;
}

#[tokio::test]
async fn what_a_relay_says_is_shown_harmless_and_its_numbers_do_not_overflow() {
    let mut relay = Relay::ready().await;
    let shared = Arc::clone(&relay.shared);
    let dropped = Dropped { bytes: u64::MAX, age: u64::MAX, ..Dropped::default() };
    let figures = SinkFigures {
        error: Some(format!("\x1b]0;owned\x07{}", "é".repeat(5000))),
        spool: SpoolFigures { dropped, ..SpoolFigures::default() },
        ..SinkFigures::default()
    };
    relay.send(&FromRelay::Figures(Box::new(figures))).await;
    while lock(&shared.figures).sink.error.is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let error = lock(&shared.figures).sink.error.clone().unwrap();
    assert!(!error.contains('\x1b') && error.chars().count() <= 2 * MAX_TEXT_CHARS, "{error}");
    drop(relay.stream);
    relay.daemon.await.unwrap().expect("it ended");
    assert_eq!(lock(&shared.figures).lost_before, u64::MAX);
}

#[tokio::test]
async fn a_relay_that_cannot_work_says_why() {
    let mut relay = Relay::connect(&Arc::default());
    relay.send(&FromRelay::Failed("the port is taken\x1b[2J".to_owned())).await;
    match relay.broken().await {
        Broken::Failed(why) => {
            assert!(why.starts_with("the port is taken") && !why.contains('\x1b'), "{why}");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn at_the_end_all_is_sent_before_the_goodbye() {
    let mut relay = Relay::ready().await;
    (0..3).for_each(|_| lock(&relay.shared.outbox).window(Stream::Metrics, window(10)));
    *lock(&relay.shared.closing) = Some(Duration::from_secs(5));
    relay.shared.wake.notify_one();
    for seq in 1..=3 {
        assert_eq!(relay.item().await.head.seq, seq);
    }
    assert_eq!(relay.receive().await, ToRelay::Close { within_ms: 5000 });
}

fn question(id: u64, pid: u32, span: LiveSpan) -> FromRelay {
    FromRelay::Question(Question::Live(LiveQuestion { id, live: Live::Stacks { pid, span } }))
}

async fn live_answer(relay: &mut Relay) -> LiveAnswer {
    match relay.receive().await {
        ToRelay::Live(answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn two_questions_about_this_moment_are_answered_at_a_time_and_more_refused() {
    let mut relay = Relay::ready().await;
    let gate = Arc::new(Semaphore::new(0));
    let answering = Arc::clone(&gate);
    *lock(&relay.shared.answerer) = Answerer::new(move |live| {
        let gate = Arc::clone(&answering);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(live.pid().to_le_bytes().to_vec())
        }
    });
    for id in 1..=5 {
        relay.send(&question(id, 7, LiveSpan::Past(5))).await;
    }
    for id in 3..=5 {
        let refused = live_answer(&mut relay).await;
        assert_eq!((refused.id, refused.result.unwrap_err().kind), (id, LiveFailureKind::Busy));
    }
    gate.add_permits(2);
    let mut ids = [live_answer(&mut relay).await, live_answer(&mut relay).await].map(|answer| {
        assert_eq!(answer.result, Ok(7_u32.to_le_bytes().to_vec()));
        answer.id
    });
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
    // More than may be asked for is not asked.
    for (id, pid, span) in [
        (6, 0, LiveSpan::Past(5)),
        (7, 7, LiveSpan::Past(0)),
        (8, 7, LiveSpan::Past(u32::MAX)),
        (9, 7, LiveSpan::Ahead(61)),
    ] {
        relay.send(&question(id, pid, span)).await;
        let refused = live_answer(&mut relay).await;
        assert_eq!((refused.id, refused.result.unwrap_err().kind), (id, LiveFailureKind::Refused));
    }
}

#[tokio::test]
async fn an_answer_does_not_go_to_the_relay_after_the_one_that_asked() {
    let mut relay = Relay::ready().await;
    let gate = Arc::new(Semaphore::new(0));
    let (answering, shared) = (Arc::clone(&gate), Arc::clone(&relay.shared));
    *lock(&shared.answerer) = Answerer::new(move |_| {
        let gate = Arc::clone(&answering);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(b"of the first".to_vec())
        }
    });
    relay.send(&question(1, 7, LiveSpan::Past(5))).await;
    // Answered at once, and behind it: the question has been taken.
    relay.send(&FromRelay::Question(Question::Broker)).await;
    assert!(matches!(relay.receive().await, ToRelay::Answer(_)));
    drop(relay.stream);
    relay.daemon.await.unwrap().expect("it ended");
    *lock(&shared.answerer) = Answerer::new(|_| async { Ok(b"of the second".to_vec()) });
    let mut next = Relay::connect(&shared);
    next.is_ready("0123456789abcdef", 1).await;
    gate.add_permits(1);
    next.send(&question(1, 8, LiveSpan::Past(5))).await;
    assert_eq!(live_answer(&mut next).await.result, Ok(b"of the second".to_vec()));
}

#[tokio::test]
async fn a_flood_of_questions_ends_the_connection() {
    let mut relay = Relay::ready().await;
    for id in 0..u64::from(4 * MAX_FRAMES_BURST) {
        relay.send(&question(id, 7, LiveSpan::Past(5))).await;
    }
    assert!(matches!(relay.broken().await, Broken::Flood));
}
