//! What waits for another one in ways that do not end, or that look like waiting for work.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use tests::meter::Meter;

use crate::locks::Pthread;
use crate::{Args, compute, sleep_us};

/// Waits for one of these to be readable, for so many ms at most (−1: as long as it takes).
fn readable(fds: &[RawFd], patience_ms: i32) -> Vec<RawFd> {
    let entry = |fd: &RawFd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 };
    let mut entries: Vec<_> = fds.iter().map(entry).collect();
    // SAFETY: as many entries as are said.
    unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, patience_ms) };
    entries.iter().filter(|entry| entry.revents != 0).map(|entry| entry.fd).collect()
}

/// `answer-local SOCKET SLOW`: one thread answers all who connect. Faulty: after `SLOW` µs of work each; 0: it is stopped by a
/// signal.
pub(crate) fn answer_local(args: &Args, meter: Meter) {
    let slow = args.number(1);
    let server = UnixListener::bind(args.text(0)).expect("a socket");
    let mut clients: Vec<UnixStream> = Vec::new();
    loop {
        let mut fds = vec![server.as_raw_fd()];
        fds.extend(clients.iter().map(std::os::fd::AsRawFd::as_raw_fd));
        let ready = readable(&fds, -1);
        if ready.contains(&server.as_raw_fd()) {
            clients.push(server.accept().expect("a client").0);
        }
        for client in clients.iter_mut().filter(|client| ready.contains(&client.as_raw_fd())) {
            let mut request = [0; 64];
            if client.read_exact(&mut request).is_err() {
                continue;
            }
            compute(20);
            match (meter.faulty(), slow) {
                // SAFETY: stops this process until it is killed.
                (true, 0) => drop(unsafe { libc::raise(libc::SIGSTOP) }),
                (true, slow) => compute(slow),
                (false, _) => {}
            }
            client.write_all(&request).expect("a client");
            meter.add(1);
        }
    }
}

/// `ask-local SOCKET GAP`: asks, waits for the answer, and does something with it.
pub(crate) fn ask_local(args: &Args, meter: Meter) {
    let mut server = loop {
        match UnixStream::connect(args.text(0)) {
            Ok(server) => break server,
            Err(_) => sleep_us(20_000),
        }
    };
    loop {
        server.write_all(&[1; 64]).expect("a server");
        server.read_exact(&mut [0; 64]).expect("a server");
        compute(100);
        sleep_us(args.number(1));
        meter.add(1);
    }
}

fn local(port: u64) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port as u16)
}

fn connected(port: u64) -> TcpStream {
    loop {
        match TcpStream::connect(local(port)) {
            Ok(stream) => return stream,
            Err(_) => sleep_us(20_000),
        }
    }
}

/// `ask-patient PORT GAP`: asks `answer`, and waits with a time-out of five seconds, as most clients do: in `poll`.
pub(crate) fn ask_patient(args: &Args, meter: Meter) {
    let mut stream = connected(args.number(0));
    stream.set_nodelay(true).expect("a connection");
    stream.set_nonblocking(true).expect("a connection");
    let mut part = vec![0; 16_384];
    loop {
        stream.write_all(&[1; 64]).expect("a server");
        let mut got = 0;
        while got < part.len() {
            match stream.read(&mut part) {
                Ok(0) => return,
                Ok(read) => got += read,
                Err(_) => drop(readable(&[stream.as_raw_fd()], 5_000)),
            }
        }
        compute(100);
        sleep_us(args.number(1));
        meter.add(1);
    }
}

/// `ask-loop PORT GAP`: one thread asks `answer` on two connections at once and polls both, `GAP` µs between two rounds: in
/// `poll`, as event loops do.
pub(crate) fn ask_loop(args: &Args, meter: Meter) {
    const ANSWER: usize = 16_384;
    let mut streams: Vec<(TcpStream, usize)> = (0..2).map(|_| (connected(args.number(0)), 0)).collect();
    for (stream, _) in &mut streams {
        stream.set_nodelay(true).expect("a connection");
        stream.set_nonblocking(true).expect("a connection");
    }
    let mut part = vec![0; ANSWER];
    loop {
        for (stream, left) in &mut streams {
            stream.write_all(&[1; 64]).expect("a server");
            *left = ANSWER;
        }
        while streams.iter().any(|(_, left)| *left > 0) {
            let fds: Vec<RawFd> = streams.iter().map(|(stream, _)| stream.as_raw_fd()).collect();
            let ready = readable(&fds, 5_000);
            for (stream, left) in &mut streams {
                if ready.contains(&stream.as_raw_fd()) {
                    *left -= stream.read(&mut part).expect("a server").min(*left);
                }
            }
        }
        compute(100);
        // A timer of the loop's.
        readable(&[], (args.number(1) / 1000) as i32);
        meter.add(1);
    }
}

/// `wait-for-one PORT`: a server that polls its one descriptor: first the listening one, then that of its client.
pub(crate) fn wait_for_one(args: &Args, meter: Meter) {
    let server = TcpListener::bind(local(args.number(0))).expect("a port");
    while readable(&[server.as_raw_fd()], 1_000).is_empty() {}
    let (mut client, _) = server.accept().expect("a client");
    loop {
        if !readable(&[client.as_raw_fd()], 1_500).is_empty() {
            client.read_exact(&mut [0; 1]).expect("a client");
            client.write_all(&[1]).expect("a client");
            meter.add(1);
        }
    }
}

/// `keep-alive PORT`: a client to which the server has nothing to send; both exchange a keep-alive message now and then.
pub(crate) fn keep_alive(args: &Args, meter: Meter) {
    let mut server = connected(args.number(0));
    loop {
        server.write_all(&[1]).expect("a server");
        server.read_exact(&mut [0; 1]).expect("a server");
        drop(readable(&[server.as_raw_fd()], 2_000));
        meter.add(1);
    }
}

/// `deadlock GAP`: threads that take one lock, and two of them another one within it. Faulty: one takes them the other way
/// round.
pub(crate) fn deadlock(args: &Args, meter: Meter) {
    let gap = args.number(0);
    let (first, second) = (Arc::new(Pthread::new()), Arc::new(Pthread::new()));
    thread::scope(|scope| {
        for other_way in [false, true] {
            let (first, second) = (&first, &second);
            scope.spawn(move || {
                loop {
                    let (outer, inner) =
                        if other_way && meter.faulty() { (second, first) } else { (first, second) };
                    outer.with(|| {
                        compute(100);
                        // Time enough for the other one to take its first.
                        sleep_us(if meter.faulty() { 20_000 } else { 0 });
                        inner.with(|| compute(100));
                    });
                    meter.add(1);
                    sleep_us(gap);
                }
            });
        }
        scope.spawn(|| {
            loop {
                first.with(|| compute(50));
                meter.add(1);
                sleep_us(gap);
            }
        });
    });
}

/// `shared-mutex FILE HELD GAP`: works for `HELD` µs under a lock that all processes with this file share.
pub(crate) fn shared_mutex(args: &Args, meter: Meter) {
    let (held, gap) = (args.number(1), args.number(2));
    let lock = Shared::at(Path::new(args.text(0)));
    loop {
        lock.with(|| compute(held));
        meter.add(1);
        sleep_us(gap);
    }
}

/// `die-locked FILE`: a child of it takes the lock that all processes with this file share, and ends with it.
pub(crate) fn die_locked(args: &Args, _: Meter) {
    let lock = Shared::at(Path::new(args.text(0)));
    // SAFETY: the child makes no call but those of the lock and of its end.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "a child");
    if child == 0 {
        // SAFETY: the lock is initialised and mapped here as well.
        lock.with(|| unsafe { libc::_exit(0) });
    }
    // SAFETY: waits for the child; its status is not wanted.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    loop {
        sleep_us(1_000_000);
    }
}

struct Shared(*mut libc::pthread_mutex_t);

impl Shared {
    /// Maps the lock in a file. The first process makes it under a name of its own and then links it, so that no other process
    /// sees half of it.
    fn at(path: &Path) -> Self {
        const SIZE: usize = 4096;
        let map = |file: &File| {
            let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            // SAFETY: a new mapping of a file that is as long as it.
            let page = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, access, shared, file.as_raw_fd(), 0) };
            assert_ne!(page, libc::MAP_FAILED, "shared memory");
            page.cast::<libc::pthread_mutex_t>()
        };
        let open = |path: &Path| File::options().read(true).write(true).open(path);
        if let Ok(file) = open(path) {
            return Self(map(&file));
        }
        let own = path.with_extension(std::process::id().to_string());
        fs::write(&own, [0; SIZE]).expect("a file");
        let lock = map(&open(&own).expect("a file"));
        // SAFETY: the attributes are initialised before they are used, the mutex is in memory of this process alone yet.
        unsafe {
            let mut attributes = std::mem::zeroed();
            libc::pthread_mutexattr_init(&raw mut attributes);
            libc::pthread_mutexattr_setpshared(&raw mut attributes, libc::PTHREAD_PROCESS_SHARED);
            assert_eq!(libc::pthread_mutex_init(lock, &raw const attributes), 0);
        }
        match fs::hard_link(&own, path) {
            Ok(()) => Self(lock),
            Err(_) => Self::at(path),
        }
    }

    fn with(&self, work: impl FnOnce()) {
        // SAFETY: initialised, and mapped as long as the process lives.
        assert_eq!(unsafe { libc::pthread_mutex_lock(self.0) }, 0);
        work();
        // SAFETY: locked above by this thread.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.0) }, 0);
    }
}
