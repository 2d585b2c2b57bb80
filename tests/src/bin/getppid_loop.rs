//! Calls getppid, or another call, an exact number of times: from one thread, or from many that live one after the other.
//! `getppid_loop CALLS [THREADS [getppid|write|open|connect|read]]`: a write of 120 bytes to standard error, an open and a connect
//! that fail, a read of nothing; says how many ns a call took, by the wall clock and in CPU
//! time of this process, which a busy machine does not stretch: `done 162.0 131.4`.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("every Linux has it").into()
}

/// Calls that the loop can make.
#[derive(Clone, Copy)]
enum Call {
    Getppid,
    Write,
    Read,
    Open,
    Connect,
}

impl Call {
    fn of(name: Option<&str>) -> Self {
        match name {
            None | Some("getppid") => Self::Getppid,
            Some("write") => Self::Write,
            Some("read") => Self::Read,
            Some("open") => Self::Open,
            Some("connect") => Self::Connect,
            Some(other) => panic!("no call is named {other}"),
        }
    }
}

const LINE: [u8; 120] = [b'x'; 120];
const PATH: &std::ffi::CStr = c"/etc/no-such-program/no-such-file.conf";

fn call(times: u64, call: Call) {
    // SAFETY: socket has no memory; the others get memory of the sizes that they are told.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        // TCP's family in a datagram socket: refused before anything is sent.
        let address = libc::sockaddr_in {
            sin_family: libc::AF_INET6 as u16,
            sin_port: 5432_u16.to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
            sin_zero: [0; 8],
        };
        let length = size_of::<libc::sockaddr_in>();
        let nothing = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY);
        let mut room = [0_u8; 8];
        for _ in 0..times {
            match call {
                Call::Getppid => libc::syscall(libc::SYS_getppid),
                Call::Write => libc::syscall(libc::SYS_write, 2, LINE.as_ptr(), LINE.len()),
                Call::Read => libc::syscall(libc::SYS_read, nothing, room.as_mut_ptr(), room.len()),
                Call::Open => libc::syscall(libc::SYS_openat, libc::AT_FDCWD, PATH.as_ptr(), libc::O_RDONLY),
                Call::Connect => libc::syscall(libc::SYS_connect, socket, &raw const address, length),
            };
        }
    }
}

fn main() {
    let calls = tests::workload::argument(1, 1_000_000);
    let threads = tests::workload::argument(2, 0);
    let which = Call::of(std::env::args().nth(3).as_deref());
    tests::workload::ready();
    let (start, cpu) = (std::time::Instant::now(), cpu_time());
    if threads == 0 {
        call(calls, which);
    }
    for _ in 0..threads {
        std::thread::spawn(move || call(calls / threads, which)).join().expect("the thread ends");
    }
    let per_call = |took: Duration| took.as_nanos() as f64 / calls as f64;
    let (wall, cpu) = (start.elapsed(), cpu_time().saturating_sub(cpu));
    tests::workload::done(&format!("{:.2} {:.2}", per_call(wall), per_call(cpu)));
}
