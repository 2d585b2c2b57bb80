//! Two hundred logins at once. A test program of its own: it measures the memory of its process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use server::access::{Role, now};
use server::api::{Api, Embedded, Health, Options};
use server::config::Http;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

/// Two hashes have 38 MiB; two hundred at once would have 3.8 GB.
const MOST_BYTES: u64 = 128 << 20;

/// Most memory of this process since [`forget_peak`], bytes.
fn peak() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("the kernel's");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

fn forget_peak() {
    // `5` sets the peak to what is resident now (`proc_pid_clear_refs(5)`).
    std::fs::write("/proc/self/clear_refs", "5").expect("ours");
}

/// Logs in from an address; returns the answer's status.
async fn login(server: SocketAddr, from: Ipv4Addr) -> u16 {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((from, 0))).expect("a loopback address");
    let mut stream = socket.connect(server).await.expect("connect");
    let body = r#"{"user":"alice","password":"correct horse"}"#;
    let head = format!(
        "POST /api/s7mpa/v1/login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.expect("it takes it");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_logins_at_once_take_the_memory_of_two() {
    // As the program does it (`agent/src/heap.rs`): freed blocks of hashes go back to the kernel.
    for (setting, value) in [(libc::M_ARENA_MAX, 2), (libc::M_MMAP_THRESHOLD, 128 << 10)] {
        // SAFETY: settings of the allocator; a value that it does not take changes nothing.
        unsafe { libc::mallopt(setting, value) };
    }
    let dir = tempfile::tempdir().expect("tempdir");
    let options = Options {
        http: Http { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..Http::default() },
        state_dir: dir.path().to_owned(),
        runtime_dir: dir.path().join("run"),
    };
    let source = Arc::new(Embedded::new(dir.path().join("none.db")));
    let api = Api::start(options, source, Health::default()).await.expect("the API");
    api.access.add_account("alice", Role::Viewer, "correct horse", now()).expect("an account");
    forget_peak();
    let before = peak();
    // Each from an address of its own: the limit of guesses is another test's.
    let tasks: Vec<_> =
        (1..=200).map(|n| tokio::spawn(login(api.address, Ipv4Addr::new(127, 0, 1, n)))).collect();
    let mut done = 0;
    for task in tasks {
        match task.await.expect("the task") {
            200 => done += 1,
            503 => {}
            other => panic!("{other}"),
        }
    }
    let grown = peak().saturating_sub(before);
    assert!(done >= 10, "{done} came in");
    assert!(grown < MOST_BYTES, "{grown} bytes");
}
