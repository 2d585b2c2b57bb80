//! What talks over a network: each of these in a network namespace of its case.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{Backlog, listen};
use tests::meter::Meter;

use crate::{Args, compute, sleep_us};

fn local(port: u64) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port as u16)
}

/// `answer PORT SLOW`: answers 16 KiB to each request of each connection. Faulty: after `SLOW` µs.
pub(crate) fn answer(args: &Args, meter: Meter) {
    let slow = args.number(1);
    let server = TcpListener::bind(local(args.number(0))).expect("a port");
    meter.tell(1);
    for stream in server.incoming() {
        let mut stream = stream.expect("a connection");
        thread::spawn(move || {
            let mut request = [0; 64];
            while stream.read_exact(&mut request).is_ok() {
                compute(20);
                if meter.faulty() {
                    sleep_us(slow);
                }
                if stream.write_all(&[7; 16_384]).is_err() {
                    return;
                }
                meter.add(1);
            }
        });
    }
}

/// Connects as soon as a process listens on the port.
fn connected(port: u64) -> TcpStream {
    loop {
        match TcpStream::connect(local(port)) {
            Ok(stream) => return stream,
            Err(_) => sleep_us(20_000),
        }
    }
}

/// `ask PORT GAP`: asks on one connection, waits for the answer, and does something with it.
pub(crate) fn ask(args: &Args, meter: Meter) {
    let mut stream = connected(args.number(0));
    stream.set_nodelay(true).expect("a connection");
    let mut answer = vec![0; 16_384];
    loop {
        stream.write_all(&[1; 64]).expect("a server");
        stream.read_exact(&mut answer).expect("a server");
        compute(100);
        sleep_us(args.number(1));
        meter.add(1);
    }
}

/// `accept PORT QUEUE SLOW`: takes a connection, answers, closes it. Faulty: each keeps it for `SLOW` µs of work.
pub(crate) fn accept(args: &Args, meter: Meter) {
    let server = TcpListener::bind(local(args.number(0))).expect("a port");
    // Once more: the standard library asks for a longer queue.
    listen(&server, Backlog::new(args.number(1) as i32).expect("a length")).expect("it listens");
    for stream in server.incoming() {
        if meter.faulty() {
            compute(args.number(2));
        }
        // A client that has given up before the answer has closed the connection.
        let _ = stream.expect("a connection").write_all(&[1]);
        meter.add(1);
    }
}

/// `leave PORT`: takes a connection, answers, closes it. Faulty: it listens no more.
pub(crate) fn leave(args: &Args, meter: Meter) {
    let server = TcpListener::bind(local(args.number(0))).expect("a port");
    while !meter.faulty() {
        let (mut stream, _) = server.accept().expect("a connection");
        // A client that has given up before the answer has closed the connection.
        let _ = stream.write_all(&[1]);
        meter.add(1);
    }
    drop(server);
    loop {
        sleep_us(1_000_000);
    }
}

/// `connect PORT THREADS GAP`: a connection for each request.
pub(crate) fn connect(args: &Args, meter: Meter) {
    let (address, gap) = (local(args.number(0)), args.number(2));
    thread::scope(|scope| {
        for thread in 0..args.number(1) {
            scope.spawn(move || {
                // Not all at once.
                sleep_us(gap * thread / args.number(1));
                loop {
                    let stream = TcpStream::connect(address);
                    if let Ok(mut stream) = stream
                        && stream.read_exact(&mut [0]).is_ok()
                    {
                        meter.add(1);
                    }
                    compute(50);
                    sleep_us(gap);
                }
            });
        }
    });
}

/// `names`: answers look-ups on port 53. Faulty: it does not.
pub(crate) fn names(_: &Args, meter: Meter) {
    let socket = UdpSocket::bind(local(53)).expect("port 53");
    let mut query = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut query).expect("a query");
        if !meter.faulty() {
            socket.send_to(&query[..length], from).expect("an answer");
            meter.add(1);
        }
    }
}

/// `resolve GAP`: looks a name up before each request, as the C library does: a second of patience, then again.
pub(crate) fn resolve(args: &Args, meter: Meter) {
    let socket = UdpSocket::bind(local(0)).expect("a port");
    socket.connect(local(53)).expect("an address");
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("patience");
    // www.example.com, type A.
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";
    loop {
        let asked = socket.send(query).and_then(|_| socket.recv(&mut [0; 512]));
        if asked.is_ok() {
            meter.add(1);
        }
        compute(50);
        sleep_us(args.number(0));
    }
}

/// `idle THREADS`: a server without a client: threads that wait for connections or for work.
pub(crate) fn idle(args: &Args, _: Meter) {
    let server = TcpListener::bind(local(0)).expect("a port");
    // SAFETY: makes a descriptor.
    let poll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    let fd = std::os::fd::AsRawFd::as_raw_fd(&server);
    // SAFETY: both descriptors are open, and the event is read only.
    assert_eq!(unsafe { libc::epoll_ctl(poll, libc::EPOLL_CTL_ADD, fd, &raw mut event) }, 0);
    let work = std::sync::Mutex::new(());
    let there = std::sync::Condvar::new();
    thread::scope(|scope| {
        for _ in 0..args.number(0) {
            scope.spawn(|| {
                loop {
                    drop(there.wait(work.lock().expect("no panic")).expect("no panic"));
                }
            });
        }
        loop {
            let mut events = [event; 8];
            // SAFETY: room for eight events; half a second is the tick of many event loops.
            unsafe { libc::epoll_wait(poll, events.as_mut_ptr(), 8, 500) };
        }
    });
}
