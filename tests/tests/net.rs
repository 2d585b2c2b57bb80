//! Trouble of sockets is counted as the kernel counts it, with the owner.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use agent_common::units::Tgid;
use diagnosis::window::{NetRow, Window};
use nix::sys::socket::{setsockopt, sockopt};
use tests::windows::{close, own, resources, run, window_of};
use tests::workload::Workload;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Runs `test` in a network namespace of its own, on a thread of its own.
fn in_namespace(test: impl FnOnce() + Send) {
    if !tests::can_observe() {
        return;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("root");
            run("ip", &["link", "set", "lo", "up"]);
            test();
        });
    });
}

/// Connects without blocking, and polls for what never comes.
const CONNECTS: &str = "
import select, socket
s = socket.socket()
s.setblocking(False)
s.connect_ex(('127.0.0.1', 5432))
p = select.poll()
p.register(s, select.POLLOUT)
p.poll()
";

/// As `psql` in a container whose firewall drops the server's port. It has waited since before the agent's start.
#[test]
fn a_connection_in_another_namespace_that_is_never_made_is_a_wait_to_connect() {
    in_namespace(|| {
        drop_for(5432);
        let client = Command::new("python3").args(["-c", CONNECTS]).spawn().expect("Python starts");
        let client = tests::fuse::Guarded(client);
        // 7: poll.
        let call = format!("/proc/{}/syscall", client.pid());
        while !std::fs::read_to_string(&call).is_ok_and(|text| text.starts_with("7 ")) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let pid = client.pid().to_string();
        let output = tests::agent::command(&["report", "--duration", "6s", "--json", "--pid", &pid]).output();
        let output = output.expect("it runs");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let first = &report["findings"][0];
        assert_eq!(first["class"], "net-connect", "{report:#}");
        assert_eq!(first["culprit"]["comm"], "127.0.0.1:5432", "{report:#}");
    });
}

/// A counter of this thread's namespace: `Tcp`, `RetransSegs`.
fn counter(protocol: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").expect("procfs");
    let mut lines = text.lines().filter(|line| line.starts_with(&format!("{protocol}:")));
    let names = lines.next().expect("names").split_whitespace();
    let values = lines.next().expect("values").split_whitespace();
    let (_, value) = names.zip(values).find(|(known, _)| *known == name).expect("a counter");
    value.parse().expect("a number")
}

fn row(window: &Window, local_port: u16, peer: Option<(IpAddr, u16)>) -> NetRow {
    let found = window.net.iter().find(|row| (row.local_port, row.peer) == (local_port, peer));
    found.cloned().unwrap_or_else(|| panic!("no {local_port} {peer:?} in {:?}", window.net))
}

/// Drops what comes for a port of this thread's namespace, from here on.
fn drop_for(port: u16) {
    run("nft", &["add", "table", "inet", "lossy"]);
    run("nft", &["add", "chain", "inet", "lossy", "in", "{ type filter hook input priority 0 ; }"]);
    run("nft", &["add", "rule", "inet", "lossy", "in", "tcp", "dport", &port.to_string(), "drop"]);
}

/// Drops what comes for a port until it has been sent again `times` times.
fn lose(port: u16, sender: &mut TcpStream, times: u64) {
    drop_for(port);
    let before = counter("Tcp", "RetransSegs");
    sender.write_all(b"x").expect("sent");
    let begin = Instant::now();
    while counter("Tcp", "RetransSegs") < before + times {
        assert!(begin.elapsed() < Duration::from_mins(1), "nothing is sent again");
        std::thread::sleep(Duration::from_millis(10));
    }
    run("nft", &["delete", "table", "inet", "lossy"]);
}

#[test]
fn segments_sent_again_are_the_kernels_number_with_owner_and_peer() {
    in_namespace(|| {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = server.local_addr().expect("bound").port();
        let mut old = TcpStream::connect((LOCAL, port)).expect("connected");
        let (mut old_end, _) = server.accept().expect("accepted");
        let mut collector = resources();
        let before = counter("Tcp", "RetransSegs");
        let mut new = TcpStream::connect((LOCAL, port)).expect("connected");
        let (mut new_end, _) = server.accept().expect("accepted");
        lose(port, &mut new, 3);
        new_end.read_exact(&mut [0]).expect("it came in the end");
        let first = counter("Tcp", "RetransSegs") - before;
        // A connection that was there before the probes: its owner is found by its descriptor.
        lose(port, &mut old, 2);
        old_end.read_exact(&mut [0]).expect("it came in the end");
        let all = counter("Tcp", "RetransSegs") - before;
        let window = close(&mut collector);
        let seen = row(&window, 0, Some((LOCAL, port)));
        assert_eq!((seen.retransmits, seen.tgid), (first, own()), "{:?}", window.net);
        let seen = row(&window, old.local_addr().expect("bound").port(), Some((LOCAL, port)));
        assert_eq!((seen.retransmits, seen.tgid), (all - first, own()), "{:?}", window.net);
    });
}

#[test]
fn resets_are_counted_at_both_ends() {
    in_namespace(|| {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = server.local_addr().expect("bound").port();
        let mut ports = Vec::new();
        let (window, ()) = window_of(|| {
            for _ in 0..10 {
                let mut client = TcpStream::connect((LOCAL, port)).expect("connected");
                let (end, peer) = server.accept().expect("accepted");
                client.write_all(b"unread").expect("sent");
                while end.peek(&mut [0; 6]).expect("it comes") < 6 {}
                drop(end);
                assert!(client.read(&mut [0]).is_err(), "reset");
                ports.push(peer.port());
            }
        });
        let seen = row(&window, 0, Some((LOCAL, port)));
        assert_eq!((seen.resets, seen.tgid), (10, own()), "{:?}", window.net);
        for peer in ports {
            let seen = row(&window, port, Some((LOCAL, peer)));
            assert_eq!((seen.resets, seen.tgid), (1, own()), "{:?}", window.net);
        }
    });
}

#[test]
fn a_refused_connection_is_a_reset_of_the_client() {
    in_namespace(|| {
        let (window, ()) = window_of(|| {
            for _ in 0..7 {
                assert!(TcpStream::connect((LOCAL, 9)).is_err(), "no process listens");
            }
        });
        let seen = row(&window, 0, Some((LOCAL, 9)));
        assert_eq!((seen.resets, seen.tgid), (7, own()), "{:?}", window.net);
    });
}

#[test]
fn datagrams_dropped_at_a_full_buffer_are_the_kernels_number() {
    in_namespace(|| {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        setsockopt(&receiver, sockopt::RcvBuf, &4096).expect("a size");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = receiver.local_addr().expect("bound");
        let before = counter("Udp", "RcvbufErrors");
        let (window, ()) = window_of(|| {
            for _ in 0..2000 {
                sender.send_to(&[0; 500], address).expect("sent");
            }
        });
        let dropped = counter("Udp", "RcvbufErrors") - before;
        let seen = row(&window, address.port(), None);
        assert!(dropped > 1900, "{dropped}");
        assert_eq!((seen.receive_drops, seen.tgid), (dropped, own()), "{:?}", window.net);
    });
}

#[test]
fn a_full_accept_queue_is_seen_in_another_network_namespace() {
    if !tests::can_observe() {
        return;
    }
    let mut workload = Workload::spawn(
        Command::new("unshare").arg("--net").arg(tests::programs().join("backlog")).args(["12"]),
    );
    let (window, said) = window_of(|| workload.work());
    let (port, drops) = said.split_once(' ').expect("two numbers");
    let seen = row(&window, port.parse().expect("a port"), None);
    assert_eq!(seen.tgid, Tgid(workload.pid()), "{:?}", window.net);
    assert_eq!(seen.accept_overflows, drops.parse::<u64>().expect("a number"), "{seen:?}");
    assert!(seen.accept_overflows >= 9, "{seen:?}");
    assert_eq!(seen.accept_queue, Some((2, 1)), "one more than the limit waits");
    workload.finish();
}
