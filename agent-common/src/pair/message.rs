//! The messages, and how each lies in a frame.

use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::frame::{Frame, encode};
use super::live::{LiveAnswer, LiveFailure, LiveQuestion};
use super::{ApiState, SinkFigures, Stream, VERSION};
use crate::settings::BrokerAccess;
use crate::settings::relay::Settings;
use crate::units::{DurNs, UnixNs};
use crate::wire::finding::Alert;
use crate::wire::silence::Silence;
use crate::wire::stored::MAX_RANGES;

/// Frame kinds. To the relay from 1, to the privileged process from 129.
mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const ITEM: u8 = 2;
    pub(super) const CHANGE: u8 = 3;
    pub(super) const ANSWER: u8 = 4;
    pub(super) const CLOSE: u8 = 5;
    pub(super) const LIVE: u8 = 6;
    pub(super) const READY: u8 = 129;
    pub(super) const FAILED: u8 = 130;
    pub(super) const ACK: u8 = 131;
    pub(super) const FIGURES: u8 = 132;
    pub(super) const QUESTION: u8 = 133;
    pub(super) const API: u8 = 134;
    pub(super) const ALERT: u8 = 135;
    pub(super) const SILENCES: u8 = 136;
}

/// The first message to the relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u32,
    /// What it is to do.
    pub settings: Settings,
}

/// A finished window, a block of a profile, or blocks of log lines: everything of a payload but its head line, which carries the
/// number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWindow {
    /// End of the window.
    pub end: UnixNs,
    /// Its length.
    pub span: DurNs,
    /// Lines in it, of the line protocol or of a log; stacks of a profile.
    pub points: u64,
    /// Line protocol, or packed blocks.
    pub body: Vec<u8>,
}

/// What a message of a stream is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemHead {
    /// The stream.
    pub stream: Stream,
    /// Number in it.
    pub seq: u64,
    /// Metrics, profiles and logs: the stream of windows, or blocks, that `seq` counts in, 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub windows: String,
    /// Streams of states: what it is the state of (an alert's id).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Streams of states: the last word about its key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
    /// Metrics, profiles and logs: end of the window, or block.
    #[serde(default)]
    pub end: UnixNs,
    /// Metrics, profiles and logs: its length.
    #[serde(default)]
    pub span: DurNs,
    /// Metrics and logs: lines in the payload. Profiles: stacks.
    #[serde(default)]
    pub points: u64,
}

impl ItemHead {
    /// A head without what only some streams have.
    pub const fn new(stream: Stream, seq: u64) -> Self {
        Self {
            stream,
            seq,
            windows: String::new(),
            key: String::new(),
            over: false,
            end: UnixNs(0),
            span: DurNs(0),
            points: 0,
        }
    }
}

/// A message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is about.
    pub head: ItemHead,
    /// Line protocol of a window, a packed block of a profile, JSON of all others.
    pub payload: Vec<u8>,
}

/// What the relay may ask. All of it is read-only, and names nothing that the privileged process would open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// The broker's access anew: its password file or certificates may have been replaced.
    Broker,
    /// What a process does at this moment. The answer is a [`LiveAnswer`].
    Live(LiveQuestion),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Question::Broker`].
    Broker(BrokerAccess),
    /// There is none.
    Failed(String),
}

/// A message to the relay.
#[derive(Debug, Clone, PartialEq)]
pub enum ToRelay {
    /// The first one.
    Hello(Box<Hello>),
    /// A message of a stream.
    Item(Item),
    /// The configuration was read anew.
    Change(Box<Settings>),
    /// To [`FromRelay::Question`].
    Answer(Box<Answer>),
    /// To [`Question::Live`].
    Live(LiveAnswer),
    /// Send what there is, for as long, then end.
    Close {
        /// Milliseconds.
        within_ms: u64,
    },
}

/// The relay works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// [`VERSION`].
    pub version: u32,
    /// Stream of windows that the spool goes on with.
    pub windows: String,
    /// Number of the next one in it.
    pub next_seq: u64,
    /// Stream of profiles that their spool goes on with.
    pub profiles: String,
    /// Number of the next one in it.
    pub next_profile: u64,
    /// Stream of log lines that their spool goes on with.
    pub logs: String,
    /// Number of the next message in it.
    pub next_log: u64,
    /// Where the embedded broker listens, if there is one.
    pub broker: Option<SocketAddr>,
}

/// Messages of a stream that need not be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The stream.
    pub stream: Stream,
    /// Ranges of numbers, both ends included.
    pub ranges: Vec<(u64, u64)>,
}

/// A message from the relay.
#[derive(Debug, Clone, PartialEq)]
pub enum FromRelay {
    /// The first one, unless it is [`FromRelay::Failed`].
    Ready(Ready),
    /// It cannot work: why, in one line.
    Failed(String),
    /// Acknowledgement.
    Ack(Ack),
    /// How spool and sink are.
    Figures(Box<SinkFigures>),
    /// A question.
    Question(Question),
    /// How the HTTP API is, whenever that changes.
    Api(ApiState),
    /// A change of an alert of a rule, which the server part has made.
    Alert(Box<Alert>),
    /// The silences in force, whenever they change, in parts that fit into a frame: `alerts.exec` is not told of what they cover.
    Silences(SilencesPart),
}

/// Some of the silences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilencesPart {
    /// Without who made them, and why.
    pub silences: Vec<Silence>,
    /// The rest follows.
    pub more: bool,
}

impl SilencesPart {
    /// All of them in parts.
    pub fn all(silences: &[Silence]) -> Vec<Self> {
        // A name has at most 255 characters, of up to six bytes in JSON: three of them take less than 5 KiB.
        const AT_ONCE: usize = 3;
        let bare = |silence: &Silence| Silence { by: String::new(), note: String::new(), ..silence.clone() };
        let mut parts: Vec<Self> = silences
            .chunks(AT_ONCE)
            .map(|some| Self { silences: some.iter().map(bare).collect(), more: true })
            .collect();
        match parts.last_mut() {
            Some(last) => last.more = false,
            None => parts.push(Self::default()),
        }
        parts
    }
}

/// Why a frame is no message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// No such message in this direction.
    #[error("no message of kind {0}")]
    Kind(u8),
    /// The body is not what the kind says.
    #[error("message of kind {kind}")]
    Body {
        /// The kind.
        kind: u8,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The head of an item, or of an answer, does not fit into its frame.
    #[error("a message whose head is cut off")]
    Cut,
    /// Another program.
    #[error("the other side speaks version {0}, not {VERSION}")]
    Version(u32),
    /// More ranges than an acknowledgement may have.
    #[error("an acknowledgement of {0} ranges")]
    Ranges(usize),
}

/// # Panics
/// Never: the messages are JSON.
fn json(kind: u8, value: &impl Serialize) -> Vec<u8> {
    // SANITY: keys are strings and all types derive `Serialize`.
    encode(kind, &[&serde_json::to_vec(value).expect("messages are JSON")])
}

fn parse<T: DeserializeOwned>(frame: &Frame) -> Result<T, MessageError> {
    serde_json::from_slice(&frame.body).map_err(|source| MessageError::Body { kind: frame.kind, source })
}

impl Item {
    /// Its frame: two bytes with the length of the head, the head as JSON, the payload.
    ///
    /// # Panics
    /// Never: heads are JSON.
    pub fn encode(&self) -> Vec<u8> {
        // SANITY: strings and numbers only.
        let head = serde_json::to_vec(&self.head).expect("heads are JSON");
        // A key is an alert's id, some 100 bytes; a longer head than 64 KiB would be cut here and refused there.
        let length = u16::try_from(head.len()).unwrap_or(u16::MAX).to_le_bytes();
        encode(kind::ITEM, &[&length, &head, &self.payload])
    }

    fn decode(frame: &Frame) -> Result<Self, MessageError> {
        let (length, rest) = frame.body.split_first_chunk::<2>().ok_or(MessageError::Cut)?;
        let (head, payload) =
            rest.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or(MessageError::Cut)?;
        let head =
            serde_json::from_slice(head).map_err(|source| MessageError::Body { kind: frame.kind, source })?;
        Ok(Self { head, payload: payload.to_vec() })
    }
}

impl LiveAnswer {
    /// Its frame: the number of the question, a byte that is 1 for an answer and 0 for a failure, and either.
    fn encode(&self) -> Vec<u8> {
        let id = self.id.to_le_bytes();
        match &self.result {
            Ok(bytes) => encode(kind::LIVE, &[&id, &[1], bytes]),
            // SANITY: strings only.
            Err(failure) => {
                encode(kind::LIVE, &[&id, &[0], &serde_json::to_vec(failure).expect("failures are JSON")])
            }
        }
    }

    fn decode(frame: &Frame) -> Result<Self, MessageError> {
        let (id, rest) = frame.body.split_first_chunk::<8>().ok_or(MessageError::Cut)?;
        let (is_answer, rest) = rest.split_first().ok_or(MessageError::Cut)?;
        let result = if *is_answer == 1 {
            Ok(rest.to_vec())
        } else {
            let failure: LiveFailure = serde_json::from_slice(rest)
                .map_err(|source| MessageError::Body { kind: frame.kind, source })?;
            Err(failure)
        };
        Ok(Self { id: u64::from_le_bytes(*id), result })
    }
}

impl ToRelay {
    /// Its frame.
    ///
    /// # Panics
    /// Never: the messages are JSON.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello(hello) => json(kind::HELLO, hello),
            Self::Item(item) => item.encode(),
            Self::Change(settings) => json(kind::CHANGE, settings),
            Self::Answer(answer) => json(kind::ANSWER, answer),
            Self::Live(answer) => answer.encode(),
            Self::Close { within_ms } => json(kind::CLOSE, within_ms),
        }
    }

    /// Reads one.
    pub fn decode(frame: &Frame) -> Result<Self, MessageError> {
        match frame.kind {
            kind::HELLO => {
                let hello: Box<Hello> = parse(frame)?;
                if hello.version == VERSION {
                    Ok(Self::Hello(hello))
                } else {
                    Err(MessageError::Version(hello.version))
                }
            }
            kind::ITEM => Item::decode(frame).map(Self::Item),
            kind::CHANGE => parse(frame).map(Self::Change),
            kind::ANSWER => parse(frame).map(Self::Answer),
            kind::LIVE => LiveAnswer::decode(frame).map(Self::Live),
            kind::CLOSE => Ok(Self::Close { within_ms: parse(frame)? }),
            other => Err(MessageError::Kind(other)),
        }
    }
}

impl FromRelay {
    /// Its frame.
    ///
    /// # Panics
    /// Never: the messages are JSON.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ready(ready) => json(kind::READY, ready),
            Self::Failed(why) => json(kind::FAILED, why),
            Self::Ack(ack) => json(kind::ACK, ack),
            Self::Figures(figures) => json(kind::FIGURES, figures),
            Self::Question(question) => json(kind::QUESTION, question),
            Self::Api(state) => json(kind::API, state),
            Self::Alert(alert) => json(kind::ALERT, alert),
            Self::Silences(part) => json(kind::SILENCES, part),
        }
    }

    /// Reads one. The frame is hostile.
    pub fn decode(frame: &Frame) -> Result<Self, MessageError> {
        match frame.kind {
            kind::READY => {
                let ready: Ready = parse(frame)?;
                if ready.version == VERSION {
                    Ok(Self::Ready(ready))
                } else {
                    Err(MessageError::Version(ready.version))
                }
            }
            kind::FAILED => parse(frame).map(Self::Failed),
            kind::ACK => {
                let ack: Ack = parse(frame)?;
                if ack.ranges.len() <= MAX_RANGES {
                    Ok(Self::Ack(ack))
                } else {
                    Err(MessageError::Ranges(ack.ranges.len()))
                }
            }
            kind::FIGURES => parse(frame).map(Self::Figures),
            kind::QUESTION => parse(frame).map(Self::Question),
            kind::API => parse(frame).map(Self::Api),
            kind::ALERT => parse(frame).map(Self::Alert),
            kind::SILENCES => parse(frame).map(Self::Silences),
            other => Err(MessageError::Kind(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, Live, LiveFailureKind, LiveSpan, MAX_TO_PRIVILEGED, MAX_TO_RELAY};
    use super::*;

    fn frame(bytes: &[u8], limit: usize) -> Frame {
        let mut decoder = Decoder::new(limit);
        decoder.push(bytes);
        let frame = decoder.next_frame().expect("a good header").expect("a whole frame");
        assert_eq!(decoder.pending(), 0);
        frame
    }

    #[test]
    fn the_most_and_longest_silences_fit_into_frames() {
        use crate::wire::silence::{MAX_NAME_CHARS, MAX_SILENCES, Match};
        let name = || Some("\u{1}".repeat(MAX_NAME_CHARS));
        let which = Match { host: name(), class: name(), comm: name() };
        let (by, note) = ("x".repeat(1_000), "y".repeat(1_000));
        let one = Silence { id: i64::MAX, which, from: i64::MAX, until: i64::MAX, by, note };
        let parts = SilencesPart::all(&vec![one; MAX_SILENCES]);
        let mut count = 0;
        for part in &parts {
            count += part.silences.len();
            let bytes = FromRelay::Silences(part.clone()).encode();
            FromRelay::decode(&frame(&bytes, MAX_TO_PRIVILEGED)).expect("it fits");
        }
        assert_eq!(count, MAX_SILENCES);
        assert!(parts.iter().rev().skip(1).all(|part| part.more) && !parts.last().expect("one").more);
        assert_eq!(SilencesPart::all(&[]), [SilencesPart::default()], "that there are none is said, too");
    }

    #[test]
    fn messages_survive_the_way() {
        let item = Item {
            head: ItemHead {
                key: "cpu-user/process/7/1".to_owned(),
                over: true,
                ..ItemHead::new(Stream::Alert, 9)
            },
            payload: b"{\"a\":\"\xff\"}".to_vec(),
        };
        let failure = LiveFailure::new(LiveFailureKind::NoProcess, "there is no process 7");
        for message in [
            ToRelay::Item(item),
            ToRelay::Live(LiveAnswer { id: 7, result: Ok(vec![0, 255, 1]) }),
            ToRelay::Live(LiveAnswer { id: u64::MAX, result: Err(failure) }),
            ToRelay::Close { within_ms: 5000 },
        ] {
            assert_eq!(ToRelay::decode(&frame(&message.encode(), MAX_TO_RELAY)).expect("back"), message);
        }
        for message in [
            FromRelay::Ready(Ready {
                version: VERSION,
                windows: "00ff".repeat(4),
                next_seq: 7,
                profiles: "ff00".repeat(4),
                next_profile: 9,
                logs: "00000000000000cc".to_owned(),
                next_log: 3,
                broker: Some(SocketAddr::from(([127, 0, 0, 1], 7677))),
            }),
            FromRelay::Failed("no".to_owned()),
            FromRelay::Ack(Ack { stream: Stream::Metrics, ranges: vec![(1, 5), (7, 7)] }),
            FromRelay::Figures(Box::default()),
            FromRelay::Question(Question::Broker),
            FromRelay::Silences(SilencesPart::default()),
            FromRelay::Question(Question::Live(LiveQuestion {
                id: 3,
                live: Live::Stacks { pid: 7, span: LiveSpan::Ahead(5) },
            })),
            FromRelay::Api(ApiState {
                url: Some("http://127.0.0.1:7676/".to_owned()),
                fingerprint: None,
                problem: None,
            }),
        ] {
            let bytes = message.encode();
            assert_eq!(FromRelay::decode(&frame(&bytes, MAX_TO_PRIVILEGED)).expect("back"), message);
        }
    }

    #[test]
    fn the_largest_acknowledgement_fits_into_its_frame() {
        let ranges = vec![(u64::MAX - 1, u64::MAX); MAX_RANGES];
        let ack = FromRelay::Ack(Ack { stream: Stream::Metrics, ranges });
        assert!(ack.encode().len() <= MAX_TO_PRIVILEGED);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let decode = |kind, body: &[u8]| FromRelay::decode(&Frame { kind, body: body.to_vec() });
        for (kind, body) in [
            (kind::HELLO, &b"{}"[..]),
            (0, b""),
            (255, b"{}"),
            (kind::READY, b"{\"version\":2,\"windows\":\"\",\"next_seq\":1,\"broker\":null}"),
            (kind::ACK, b"{\"stream\":\"fly\",\"ranges\":[]}"),
            (kind::ACK, b"{\"stream\":\"metrics\",\"ranges\":[[1]]}"),
            (kind::ACK, b"\xff"),
            (kind::FIGURES, b"[[[[[[[["),
            (kind::QUESTION, b"{\"live\":{\"id\":1,\"live\":{\"open\":{\"path\":\"/etc/shadow\"}}}}"),
            (
                kind::QUESTION,
                b"{\"live\":{\"id\":1,\"live\":{\"stacks\":{\"pid\":-1,\"span\":{\"past\":5}}}}}",
            ),
        ] {
            assert!(decode(kind, body).is_err(), "{kind} {body:?}");
        }
        let many = FromRelay::Ack(Ack { stream: Stream::Alert, ranges: vec![(1, 1); MAX_RANGES + 1] });
        assert!(FromRelay::decode(&frame(&many.encode(), MAX_TO_PRIVILEGED)).is_err());
        assert!(matches!(
            ToRelay::decode(&Frame { kind: kind::ITEM, body: vec![200, 0, b'{'] }),
            Err(MessageError::Cut)
        ));
    }
}
