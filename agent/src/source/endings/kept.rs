//! Last words and failed calls as the kernel keeps them, put in order.

use agent_common::abi::endings::{
    CALLS_KEPT, FailedCall, FailedCalls, LastWords, WORDS_BYTES, WORDS_MAX, WORDS_STARTS, WordsHeader,
};
use agent_common::units::MonoNs;

use super::LastWrite;

/// The writes that are there as a whole, oldest first: from the newest back, each must end where the next begins, and what lies before
/// the ring's beginning only counts behind what was written since.
pub(super) fn writes(words: &LastWords) -> Vec<LastWrite> {
    const HEADER: usize = size_of::<WordsHeader>();
    let newest_end = words.next as usize;
    let (mut found, mut end, mut wrapped) = (Vec::new(), newest_end, false);
    for back in 1..=words.count.min(WORDS_STARTS as u32) {
        let start = usize::from(words.starts[words.count.wrapping_sub(back) as usize % WORDS_STARTS]);
        let Some(write) = words.data.get(start..).and_then(write) else { break };
        let own_end = start + HEADER + write.bytes.len().next_multiple_of(8);
        if own_end != end {
            // Another thread's, or the last before the ring began anew.
            if end != 0 || wrapped || own_end <= WORDS_BYTES - HEADER - WORDS_MAX {
                break;
            }
            wrapped = true;
        }
        if wrapped && start < newest_end {
            break;
        }
        end = start;
        found.push(write);
    }
    found.reverse();
    found
}

fn write(data: &[u8]) -> Option<LastWrite> {
    let at = u64::from_ne_bytes(data.get(..8)?.try_into().ok()?);
    let whole = u32::from_ne_bytes(data.get(8..12)?.try_into().ok()?);
    let kept = u16::from_ne_bytes(data.get(12..14)?.try_into().ok()?);
    let fd = u16::from_ne_bytes(data.get(14..16)?.try_into().ok()?);
    let bytes = data.get(16..16 + usize::from(kept))?.to_vec();
    (at != 0).then_some(LastWrite { at: MonoNs(at), fd, bytes, whole })
}

pub(super) fn in_order(calls: &FailedCalls) -> Vec<FailedCall> {
    let next = (calls.next as usize).min(CALLS_KEPT);
    let (newest, oldest) = calls.calls.split_at(next);
    let mut all: Vec<FailedCall> =
        oldest.iter().chain(newest).filter(|call| call.count > 0).copied().collect();
    all.sort_by_key(|call| call.at_ns);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes as the kernel side does.
    fn add(words: &mut LastWords, at: u64, text: &[u8]) {
        let mut next = words.next as usize;
        if next > WORDS_BYTES - 16 - 256 {
            next = 0;
        }
        let kept = text.len().min(256);
        words.data[next..next + 8].copy_from_slice(&at.to_ne_bytes());
        words.data[next + 8..next + 12].copy_from_slice(&(text.len() as u32).to_ne_bytes());
        words.data[next + 12..next + 14].copy_from_slice(&(kept as u16).to_ne_bytes());
        words.data[next + 14..next + 16].copy_from_slice(&2_u16.to_ne_bytes());
        words.data[next + 16..next + 16 + kept].copy_from_slice(&text[..kept]);
        words.starts[words.count as usize % WORDS_STARTS] = next as u16;
        words.next = (next + 16 + kept.next_multiple_of(8)) as u32;
        words.count += 1;
    }

    #[test]
    fn the_last_writes_are_read_in_their_order_and_none_that_was_written_over() {
        for length in [1, 8, 60, 100, 255, 256, 300] {
            let mut words = LastWords::default();
            for nth in 1..=500_u64 {
                let mut text = format!("{nth:08}").into_bytes();
                text.resize(length, b'x');
                add(&mut words, nth, &text);
                let read = writes(&words);
                let times: Vec<u64> = read.iter().map(|write| write.at.0).collect();
                let expected: Vec<u64> = (nth + 1 - times.len() as u64..=nth).collect();
                assert_eq!(times, expected, "{length} bytes, write {nth}");
                let least = (WORDS_BYTES / (16 + length.min(256).next_multiple_of(8)) - 2).min(WORDS_STARTS);
                assert!(times.len() >= least.min(nth as usize).min(10), "{length}: {}", times.len());
                if length >= 8 {
                    assert!(
                        read.iter()
                            .all(|write| write.bytes.starts_with(format!("{:08}", write.at.0).as_bytes()))
                    );
                }
            }
        }
    }

    #[test]
    fn nonsense_in_the_ring_is_no_panic() {
        let mut words = LastWords { count: u32::MAX, next: u32::MAX, ..LastWords::default() };
        words.starts.fill(u16::MAX);
        assert!(writes(&words).is_empty());
        words.starts.fill(8);
        words.data.fill(0xff);
        assert!(writes(&words).is_empty());
        let calls = FailedCalls { next: u32::MAX, ..FailedCalls::default() };
        assert!(in_order(&calls).is_empty());
    }

    #[test]
    fn failed_calls_come_oldest_first_whatever_place_is_next() {
        let mut calls = FailedCalls { next: 2, ..FailedCalls::default() };
        for (place, call) in calls.calls.iter_mut().enumerate() {
            (call.count, call.at_ns) = (1, if place < 2 { 100 + place as u64 } else { place as u64 });
        }
        let order: Vec<u64> = in_order(&calls).iter().map(|call| call.at_ns).collect();
        assert!(order.is_sorted() && order.len() == CALLS_KEPT && order.last() == Some(&101), "{order:?}");
    }
}
