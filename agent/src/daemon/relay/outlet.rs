//! Log lines to the relay.

use std::sync::atomic::Ordering;

use agent_common::pair::{NewWindow, Stream};

use super::{RelayHandle, lock};
use crate::logs::{Outlet, Waiting};

/// Where log lines go; a part of the relay's disk stays free, for what is on its way.
impl Outlet for RelayHandle {
    fn send(&self, message: NewWindow) -> u64 {
        let seq = lock(&self.shared.outbox).lines(message);
        self.shared.wake.notify_one();
        seq
    }

    fn waiting(&self) -> Waiting {
        let spooled = lock(&self.shared.figures).sink.logs.bytes;
        let outbox = lock(&self.shared.outbox);
        Waiting {
            settled: outbox.settled(Stream::Log),
            bytes: outbox.waiting_bytes(Stream::Log),
            has_room: spooled < self.shared.max_log_bytes.load(Ordering::Relaxed) / 2,
        }
    }
}
