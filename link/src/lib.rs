//! MQTT: the one crate that names rumqttc. One connection to a broker, its events, and why it failed.
//!
//! A [`Link`] is one connection and is never revived: after [`Event::Closed`] the owner opens a new one. What is to
//! be sent again is the owner's knowledge, not the library's. This avoids what was seen with rumqttc 0.25.1:
//! * `publish().await` blocks while the broker is away → only `try_*` is used here, a full queue is an answer;
//! * a poll task that waits for its consumer deadlocks with a consumer that waits to acknowledge → the poll task
//!   only ever hands over to an unbounded queue; its owner bounds what is in it by acknowledging by hand;
//! * after a reconnect the client is not subscribed → the owner subscribes at each [`Event::Connected`];
//! * a packet id that collided stays so over reconnects → each connection has its own state;
//! * packets over 10 kB are refused → [`Options::max_packet`] goes to the library;
//! * `disconnect` overtakes what is queued → [`Link::disconnect`] is called by owners that have seen their last ack;
//! * dropping the `poll` future in the middle of a write loses the packet → it runs in a task of its own.

mod address;
mod backoff;
mod connection;
mod explain;
mod failure;
mod options;
mod tls;

pub use backoff::Backoff;
pub use connection::{Event, Full, Link, Receipt, Received};
pub use failure::{Failure, FailureKind};
pub use options::{MAX_PACKET, Message, Options, check};
