//! The *spool* thread: windows and profiles onto the disk.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

use super::hand_off::Waiting;
use super::{LANES, Lane, Shared, lock};
use crate::spool::Taken;

/// Puts windows into the spool as they come, and syncs it when it is time.
pub(super) fn spool_thread(shared: &Shared) {
    // An error is logged when it begins and when it ends, not once a second.
    let mut failing = [false; LANES];
    // On the disk, not yet synced.
    let mut unsynced: [Vec<u64>; LANES] = Default::default();
    loop {
        let (windows, closing) = next_windows(shared, unsynced.iter().all(Vec::is_empty));
        for Waiting { lane, stream, seq, window } in &windows {
            let Lane { stream: of, spool } = &shared.lanes[*lane];
            let failing = &mut failing[*lane];
            let (result, in_memory) = {
                let mut spool = lock(spool);
                let result = spool.append(stream, *seq, window);
                (result, spool.is_in_memory())
            };
            match &result {
                Err(e) if !*failing => {
                    tracing::error!(error = e as &dyn std::error::Error, "a window was lost");
                }
                Ok(_) if in_memory && !*failing => {
                    tracing::error!(
                        directory = %lock(spool).directory().display(),
                        "the spool's disk is full: new windows are kept in memory, the oldest are dropped when that is full, \
                         and all of them are lost at exit unless the broker takes them"
                    );
                }
                Ok(_) if *failing && !in_memory => tracing::info!("the spool takes windows again"),
                _ => {}
            }
            *failing = result.is_err() || in_memory;
            match result {
                Ok(Taken::Disk | Taken::Duplicate) => unsynced[*lane].push(*seq),
                Ok(Taken::Memory) => {}
                // Lost and counted: it would not fare better if it came again.
                Err(_) => shared.acknowledge([(*of, *seq)]),
            }
            shared.wake_mqtt.notify_one();
        }
        shared.acknowledge_released();
        for (lane, unsynced) in shared.lanes.iter().zip(&mut unsynced) {
            if unsynced.is_empty() {
                continue;
            }
            let due = lock(&lane.spool).sync_due(closing);
            if let Some(file) = due {
                match file.sync_data() {
                    Ok(()) => shared.acknowledge(unsynced.drain(..).map(|seq| (lane.stream, seq))),
                    Err(error) => tracing::warn!(%error, "cannot sync the spool"),
                }
            }
        }
        if closing && lock(&shared.hand_off).windows.is_empty() {
            lock(&shared.hand_off).spooled = true;
            shared.wake_mqtt.notify_one();
            return;
        }
    }
}

/// Waits for windows, for the end, and, with windows to sync, no longer than a second. True: the end.
fn next_windows(shared: &Shared, synced: bool) -> (VecDeque<Waiting>, bool) {
    let mut hand_off = lock(&shared.hand_off);
    while hand_off.windows.is_empty() && hand_off.closing.is_none() {
        if synced {
            hand_off = shared.wake_spool.wait(hand_off).unwrap_or_else(PoisonError::into_inner);
        } else {
            let waited = shared.wake_spool.wait_timeout(hand_off, Duration::from_secs(1));
            hand_off = waited.unwrap_or_else(PoisonError::into_inner).0;
            break;
        }
    }
    hand_off.bytes = 0;
    shared.wake_room.notify_one();
    (std::mem::take(&mut hand_off.windows), hand_off.closing.is_some())
}
