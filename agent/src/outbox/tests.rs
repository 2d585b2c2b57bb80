use agent_common::units::{DurNs, UnixNs};

use super::*;

fn window(bytes: usize) -> NewWindow {
    NewWindow { end: UnixNs(1), span: DurNs(1), points: 1, body: vec![b'x'; bytes] }
}

fn acks(stream: Stream, ranges: &[(u64, u64)]) -> Ack {
    Ack { stream, ranges: ranges.to_vec() }
}

fn sent(outbox: &mut Outbox) -> Vec<(Stream, u64)> {
    std::iter::from_fn(|| outbox.next_to_send().map(|item| (item.head.stream, item.head.seq))).collect()
}

fn started(max_bytes: usize) -> Outbox {
    let mut outbox = Outbox::new(max_bytes);
    outbox.go_on(Stream::Metrics, "0123456789abcdef".to_owned(), 7);
    outbox.connected();
    outbox
}

#[test]
fn windows_go_on_where_the_spool_left_off_and_stay_until_they_are_acknowledged() {
    let mut outbox = started(1 << 20);
    (0..3).for_each(|_| outbox.window(Stream::Metrics, window(100)));
    assert_eq!(sent(&mut outbox), [7, 8, 9].map(|n| (Stream::Metrics, n)));
    outbox.ack(&acks(Stream::Metrics, &[(7, 7), (9, 9)])).unwrap();
    assert_eq!(outbox.counts(Stream::Metrics).waiting, 1);
    // The relay dies. The next relay gets the windows that are left, and those made while there was none.
    outbox.disconnected();
    outbox.window(Stream::Metrics, window(100));
    outbox.connected();
    assert_eq!(sent(&mut outbox), [8, 10].map(|n| (Stream::Metrics, n)));
    outbox.ack(&acks(Stream::Metrics, &[(8, 10)])).unwrap();
    let counts = outbox.counts(Stream::Metrics);
    assert_eq!((counts.handed, counts.acked, counts.lost, counts.waiting, outbox.bytes()), (4, 4, 0, 0, 0));
}

#[test]
fn what_does_not_fit_falls_out_oldest_first_and_is_counted_once() {
    let mut outbox = started(10 * (1000 + ITEM_BYTES));
    (0..10).for_each(|_| outbox.window(Stream::Metrics, window(1000)));
    assert_eq!(sent(&mut outbox).len(), 10);
    // Ten more: the first ten fall out while the relay has them.
    (0..10).for_each(|_| outbox.window(Stream::Metrics, window(1000)));
    let counts = outbox.counts(Stream::Metrics);
    assert_eq!((counts.lost, counts.waiting), (0, 10), "the relay may have them: unknown yet");
    outbox.ack(&acks(Stream::Metrics, &[(7, 10)])).unwrap();
    outbox.disconnected();
    assert_eq!(outbox.counts(Stream::Metrics).lost, 6);
    // These were never sent: they are lost at once.
    (0..4).for_each(|_| outbox.window(Stream::Metrics, window(1000)));
    let counts = outbox.counts(Stream::Metrics);
    assert_eq!((counts.handed, counts.acked, counts.lost, counts.waiting), (24, 4, 10, 10));
    // A window larger than the bound is kept all the same, alone.
    outbox.window(Stream::Metrics, window(100_000));
    assert_eq!(outbox.counts(Stream::Metrics).waiting, 1);
}

#[test]
fn an_open_alert_is_sent_to_each_relay_until_it_is_over() {
    let mut outbox = started(1 << 20);
    outbox.state(Stream::Alert, "a", false, b"open".to_vec());
    outbox.state(Stream::Alert, "b", false, b"open".to_vec());
    assert_eq!(sent(&mut outbox), [1, 2].map(|n| (Stream::Alert, n)));
    outbox.ack(&acks(Stream::Alert, &[(1, 2)])).unwrap();
    outbox.state(Stream::Alert, "a", false, b"update".to_vec());
    outbox.state(Stream::Alert, "a", true, b"resolved".to_vec());
    assert_eq!(outbox.counts(Stream::Alert).replaced, 1);
    outbox.disconnected();
    outbox.connected();
    assert_eq!(sent(&mut outbox), [2, 4].map(|n| (Stream::Alert, n)), "b is open, a is over");
    outbox.ack(&acks(Stream::Alert, &[(2, 2), (4, 4)])).unwrap();
    outbox.connected();
    assert_eq!(sent(&mut outbox), [(Stream::Alert, 2)]);
}

#[test]
fn windows_make_room_before_alerts_do() {
    let mut outbox = started(4 * (1000 + ITEM_BYTES));
    outbox.state(Stream::Alert, "a", false, vec![0; 999]);
    (0..9).for_each(|_| outbox.window(Stream::Metrics, window(1000)));
    assert_eq!((outbox.counts(Stream::Alert).lost, outbox.counts(Stream::Metrics).lost), (0, 6));
}

#[test]
fn keys_are_bounded() {
    let mut outbox = started(MAX_BYTES);
    for n in 0..MAX_KEYS + 10 {
        outbox.state(Stream::Alert, &n.to_string(), false, Vec::new());
    }
    assert_eq!(outbox.counts(Stream::Alert).lost, 10);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_refused() {
    let mut outbox = started(1 << 20);
    outbox.window(Stream::Metrics, window(10));
    for ranges in [[(7, 7)], [(1, u64::MAX)], [(0, 0)]] {
        assert!(outbox.ack(&acks(Stream::Metrics, &ranges)).is_err(), "{ranges:?}");
    }
    assert_eq!(sent(&mut outbox), [(Stream::Metrics, 7)]);
    assert!(outbox.ack(&acks(Stream::Metrics, &[(7, 8)])).is_err());
    assert!(outbox.ack(&acks(Stream::Alert, &[(1, 1)])).is_err());
    assert_eq!(outbox.counts(Stream::Metrics).waiting, 1);
    // Twice, backwards, or of long ago: no harm.
    outbox.ack(&acks(Stream::Metrics, &[(7, 7), (7, 7), (6, 2), (1, 7)])).unwrap();
    assert_eq!(outbox.counts(Stream::Metrics).acked, 1);
    // The next relay cannot acknowledge what only the last one was sent.
    outbox.window(Stream::Metrics, window(10));
    assert_eq!(sent(&mut outbox), [(Stream::Metrics, 8)]);
    outbox.connected();
    assert!(outbox.ack(&acks(Stream::Metrics, &[(8, 8)])).is_err());
}
