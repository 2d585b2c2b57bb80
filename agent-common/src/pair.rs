//! What the two halves of the agent say to each other over their socket pair.
//!
//! ```text
//! privileged process                                unprivileged process (relay)
//!   Hello: settings                          ─────▶
//!                                            ◀─────  Ready: stream and number that windows go on with
//!   Item: windows, reports, alerts, …        ─────▶
//!                                            ◀─────  Ack: on disk, or delivered
//!                                            ◀─────  Figures, Question, Alert
//!   Answer, LiveAnswer, Change, Close        ─────▶
//! ```
//!
//! Both run the same binary, so there is one version and no negotiation. The privileged process takes what the other one
//! sends as hostile: frames are small ([`MAX_TO_PRIVILEGED`]), few, and of known form, or the connection ends.

mod figures;
mod frame;
mod live;
mod message;
mod stream;

pub use figures::{ApiState, Dropped, ExportFigures, SinkFigures, SpoolFigures};
pub use frame::{Decoder, Frame, FrameError, HEADER_BYTES, encode};
pub use live::{
    Live, LiveAnswer, LiveFailure, LiveFailureKind, LiveQuestion, LiveResult, LiveSpan, MAX_AHEAD_S,
    MAX_LIVE_ANSWER, MAX_PAST_S,
};
pub use message::{
    Ack, Answer, FromRelay, Hello, Item, ItemHead, MessageError, NewWindow, Question, Ready, SilencesPart,
    ToRelay,
};
pub use stream::{Kind, Stream};

/// Version of these messages. Both halves are the same binary; another version is another program.
pub const VERSION: u32 = 1;

/// Largest frame that the relay may send. Its largest message is an alert of a rule, which is cut to fit.
pub const MAX_TO_PRIVILEGED: usize = 16 << 10;

/// Largest frame to the relay: the largest window (32 MiB) and its head.
pub const MAX_TO_RELAY: usize = (32 << 20) + (64 << 10);
