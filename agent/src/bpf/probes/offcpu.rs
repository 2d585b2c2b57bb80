//! Reads recorded waits, and run-queue waits by the process that ran.

use agent_common::abi::offcpu::{KIND_USER, KIND_WAIT, WaitHeader, WaitUser};
use agent_common::abi::runqlat::BlameKey;
use aya::maps::{MapData, RingBuf};

use super::{Counters, Maps, Probes, split, tell_native};
use crate::bpf::StartError;

/// One record of the waits ring. Frames are addresses, leaf first.
#[derive(Debug)]
pub enum WaitRecord<'a> {
    /// A wait that has ended.
    Wait {
        /// What is known of it.
        header: &'a WaitHeader,
        /// Kernel stack of the thread that waited.
        kernel: &'a [u64],
        /// Kernel stack of the one that ended it, the probe's own frames on top.
        waker_kernel: &'a [u64],
        /// User stack of the one that ended it.
        waker_user: &'a [u64],
    },
    /// User stack of the thread that waited; never before its wait.
    User {
        /// Number of the wait.
        id: u32,
        /// The stack, Python frames behind the native ones.
        user: &'a [u64],
        /// It met code that the unwinder does not know.
        stale: bool,
    },
}

/// Maps of the waits.
pub(super) struct Offcpu {
    waits: RingBuf<MapData>,
    blame: Counters<BlameKey, u64>,
}

impl Offcpu {
    pub(super) fn new(maps: &mut Maps<'_>) -> Result<Self, StartError> {
        Ok(Self { waits: maps.take("WAITS")?, blame: Counters::new(maps, "BLAME")? })
    }
}

impl Probes {
    /// Has the programs look at waits. `users`: system calls are observed, so user stacks can be taken.
    pub fn look_at_waits(&mut self, users: bool) -> Result<(), StartError> {
        self.set(|s| (s.waits, s.wait_users) = (1, u32::from(users)))
    }

    /// Takes the waits out of their ring.
    pub fn drain_waits(&mut self, mut each: impl FnMut(WaitRecord<'_>)) {
        let mut frames: Vec<u64> = Vec::with_capacity(384);
        while let Some(item) = self.offcpu.waits.next() {
            let kind = item.first_chunk().map_or(0, |kind| u32::from_ne_bytes(*kind));
            match kind {
                KIND_WAIT => {
                    let Some(header) = split::<WaitHeader>(&item, &mut frames) else { continue };
                    let user = frames.len().min(header.waker_user.into());
                    tell_native(&mut frames[..user], header.waker_python.into());
                    let (waker_user, rest) = frames.split_at(user);
                    let (waker_kernel, kernel) = rest.split_at(rest.len().min(header.waker_kernel.into()));
                    each(WaitRecord::Wait { header: &header, kernel, waker_kernel, waker_user });
                }
                KIND_USER => {
                    let Some(header) = split::<WaitUser>(&item, &mut frames) else { continue };
                    tell_native(&mut frames, (header.verdict >> 16 & 0xff) as usize);
                    each(WaitRecord::User {
                        id: header.id,
                        user: &frames,
                        stale: header.verdict >> 8 & 1 != 0,
                    });
                }
                _ => {}
            }
        }
    }

    /// Who was charged with the time that others waited for a CPU: ns since load.
    pub const fn blame(&mut self) -> &mut Counters<BlameKey, u64> {
        &mut self.offcpu.blame
    }
}
