//! Softirqs are counted as the kernel counts them.

use std::net::UdpSocket;

use tests::windows::{close, resources};

/// `NET_RX` of all CPUs in `/proc/softirqs`.
fn net_rx() -> u64 {
    let text = std::fs::read_to_string("/proc/softirqs").expect("procfs");
    let line = text.lines().find_map(|line| line.trim().strip_prefix("NET_RX:")).expect("NET_RX");
    line.split_whitespace().map(|count| count.parse::<u64>().expect("a number")).sum()
}

#[test]
fn softirqs_are_those_of_the_kernel_and_their_time_fits_the_window() {
    if !tests::can_observe() {
        return;
    }
    let outer = net_rx();
    let mut collector = resources();
    let inner = net_rx();
    let (a, b) = (
        UdpSocket::bind("127.0.0.1:0").expect("a socket"),
        UdpSocket::bind("127.0.0.1:0").expect("a socket"),
    );
    let mut buffer = [0; 8];
    for _ in 0..20_000 {
        a.send_to(b"x", b.local_addr().expect("bound")).expect("sent");
        b.recv(&mut buffer).expect("received");
    }
    let inner = net_rx() - inner;
    let window = close(&mut collector);
    let outer = net_rx() - outer;
    let rx = || window.irqs.iter().flat_map(|row| &row.softirq).filter(|vector| vector.0 == "net_rx");
    let count: u64 = rx().map(|vector| vector.1).sum();
    assert!(inner >= 19_000, "loopback goes through the softirq: {inner}");
    assert!((inner..=outer).contains(&count), "{inner} <= {count} <= {outer}");
    for row in &window.irqs {
        let time: u64 = row.softirq.iter().map(|vector| vector.2.0).sum::<u64>() + row.hardirq.0;
        assert!(time > 0 && time < window.span().0, "{row:?} in {:?}", window.span());
    }
}
