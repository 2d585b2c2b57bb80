use agent_common::units::MonoNs;
use agent_common::wire::report::Coverage;

use super::*;

/// A window of second `n` with `samples` samples of `frames` user frames.
pub(crate) fn window(n: u64, samples: usize, frames: usize) -> Window {
    let sample = Sample {
        at: MonoNs(n * 1_000_000_000 + 1),
        tgid: 42,
        tid: 43,
        comm: "worker".into(),
        kernel: Box::default(),
        user: vec![0x1000; frames].into(),
        weight: 1,
    };
    Window {
        samples: vec![sample; samples],
        coverage: Coverage { expected: 97, captured: 97, ..Coverage::default() },
        ..diagnosis::testing::window(n)
    }
}

fn limits(windows: u64, samples: u64, max_bytes: usize) -> Limits {
    Limits { windows: Duration::from_secs(windows), samples: Duration::from_secs(samples), max_bytes }
}

#[test]
fn windows_and_samples_age_out_separately() {
    let history = History::new(limits(10, 5, usize::MAX));
    for n in 0..20 {
        history.push(window(n, 3, 10));
    }
    let stats = history.stats();
    assert_eq!((stats.windows, stats.windows_with_samples), (10, 5));
    assert_eq!((stats.aged_windows, stats.dropped_windows, stats.dropped_samples), (10, 0, 0));
    assert_eq!(history.samples_reach(), Duration::from_secs(5));
    assert_eq!(history.last(Duration::from_secs(3)).len(), 3);
    assert!(history.all()[0].samples.is_empty() && history.all()[5].samples.len() == 3);
}

#[test]
fn bytes_bound_it_and_what_falls_out_is_counted() {
    let one = window(0, 10, 100);
    let (base, heavy) = (base_bytes(&one), stack_bytes(&one));
    let history = History::new(limits(1000, 1000, 8 * base + 2 * heavy));
    for n in 0..20 {
        history.push(window(n, 10, 100));
        assert!(history.stats().bytes as usize <= 8 * base + 2 * heavy);
    }
    let stats = history.stats();
    assert!(stats.windows >= 8, "{stats:?}");
    assert_eq!(stats.dropped_windows + stats.windows, 20);
    assert_eq!(stats.dropped_samples + stats.windows_with_samples * 10, 200, "{stats:?}");
    assert_eq!(
        stats.bytes as usize,
        stats.windows as usize * base + stats.windows_with_samples as usize * heavy
    );
}

#[test]
fn waits_are_counted_and_go_with_the_samples() {
    let full = || Window { samples: Vec::new(), ..diagnosis::testing::full(0) };
    let one = full();
    assert!(stack_bytes(&one) > one.waits.len() * size_of::<Wait>());
    assert!(base_bytes(&one) > base_bytes(&Window { times: Vec::new(), irqs: Vec::new(), ..full() }));
    let history = History::new(limits(10, 1, usize::MAX));
    for n in 0..3 {
        history.push(Window {
            start: MonoNs(n * 1_000_000_000),
            end: MonoNs((n + 1) * 1_000_000_000),
            ..full()
        });
    }
    let all = history.all();
    assert!(all[0].waits.is_empty() && all[2].waits.len() == 4 && all[0].times == all[2].times);
}

#[test]
fn a_reader_keeps_what_it_holds() {
    let history = History::new(limits(10, 1, usize::MAX));
    history.push(window(0, 3, 10));
    let held = history.all();
    history.push(window(1, 3, 10));
    history.push(window(2, 3, 10));
    assert_eq!(held[0].samples.len(), 3);
    assert!(history.all()[0].samples.is_empty());
}

#[tokio::test]
async fn a_subscriber_that_lags_is_counted() {
    let history = History::new(limits(1000, 1000, usize::MAX));
    let mut subscription = history.subscribe();
    for n in 0..MAX_SUBSCRIBER_LAG as u64 + 5 {
        history.push(window(n, 0, 0));
    }
    assert_eq!(subscription.next().await.unwrap().start, MonoNs(5_000_000_000));
    assert_eq!(history.stats().lagged, 5);
    history.close();
    for _ in 0..MAX_SUBSCRIBER_LAG - 1 {
        assert!(subscription.next().await.is_some());
    }
    assert!(subscription.next().await.is_none());
    assert!(history.subscribe().next().await.is_none());
}
