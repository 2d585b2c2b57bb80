//! Counts the packets that rumqttd refuses because of their size.
//!
//! rumqttd closes the connection before it has read such a packet. It writes a line to its log and has no meter and no alert
//! for it, so this module reads the log. The line names neither the topic nor the client; the client sees only a
//! connection error. A packet that the client sends again after reconnecting counts again.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Of the whole process: rumqttd's messages do not say which broker they are about.
static REFUSED: AtomicU64 = AtomicU64::new(0);
/// Where rumqttd logs why a connection ended.
const TARGET: &str = "rumqttd::server::broker";
/// The two forms of its error (`protocol::Error::PayloadSizeLimitExceeded`): of a packet that comes first in what was
/// read, and of one behind others (`network.rs`, `read` and `readv`).
const WORDS: [&str; 2] = ["PayloadSizeLimitExceeded", "Payload size has been exceeded"];

/// Packets that were larger than [`super::MAX_PACKET`]. Stays 0 unless [`layer`] listens.
pub fn refused() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}

/// What listens; to be put into the process' `tracing` subscriber, whatever that shows of rumqttd.
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    Listener.with_filter(Targets::new().with_target(TARGET, Level::ERROR))
}

struct Listener;

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut search = Search(false);
        event.record(&mut search);
        if search.0 {
            REFUSED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Search(bool);

impl Visit for Search {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "error" {
            let mut text = String::new();
            self.0 |= write!(text, "{value:?}").is_ok() && WORDS.iter().any(|word| text.contains(word));
        }
    }
}
