//! Listens with room for one connection, and never accepts. `backlog CONNECTIONS`: says its port and how many the
//! kernel refused. In a network namespace of its own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::socket::{Backlog, listen};

/// `ListenDrops` of this namespace.
fn drops() -> u64 {
    let text = std::fs::read_to_string("/proc/self/net/netstat").expect("procfs");
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let names = lines.next().expect("names").split_whitespace();
    let values = lines.next().expect("values").split_whitespace();
    let (_, value) = names.zip(values).find(|(name, _)| *name == "ListenDrops").expect("a counter");
    value.parse().expect("a number")
}

fn main() {
    let connections = tests::workload::argument(1, 12);
    let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip starts");
    assert!(up.success());
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = server.local_addr().expect("bound").port();
    // Once more: the standard library asks for a longer queue.
    listen(&server, Backlog::new(1).expect("a length")).expect("it listens");
    tests::workload::ready();
    // Who gets no answer gives up before it would ask again.
    let address = (Ipv4Addr::LOCALHOST, port).into();
    let clients: Vec<_> =
        (0..connections).map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(100))).collect();
    drop(clients);
    tests::workload::done(&format!("{port} {}", drops()));
}
