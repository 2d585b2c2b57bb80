//! What makes processes, and what processes hand to each other.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use tests::meter::Meter;

use crate::{Args, compute, sleep_us};

/// `pour FIFO GAP`: work of which 16 KiB at a time go into a pipe.
pub(crate) fn pour(args: &Args, meter: Meter) {
    let mut pipe = OpenOptions::new().write(true).open(args.text(0)).expect("a pipe");
    loop {
        compute(100);
        sleep_us(args.number(1));
        pipe.write_all(&[1; 16_384]).expect("a reader");
        meter.add(1);
    }
}

/// `drain FIFO COMPUTES SLEEPS`: takes what comes. Faulty: and works on each piece for so many µs, and waits.
pub(crate) fn drain(args: &Args, meter: Meter) {
    let mut pipe = File::open(args.text(0)).expect("a pipe");
    let mut buffer = vec![0; 16_384];
    while pipe.read_exact(&mut buffer).is_ok() {
        if meter.faulty() {
            compute(args.number(1));
            sleep_us(args.number(2));
        }
        meter.add(1);
    }
}

/// `children SLEEP PROGRAM ARGUMENTS…`: requests of 300 µs. Faulty: a program is started for each, and waited for.
pub(crate) fn children(args: &Args, meter: Meter) {
    let mut program = Command::new(args.text(1));
    program.args(&args.0[2..]).stdin(Stdio::null()).stdout(Stdio::null()).env_remove(tests::meter::VARIABLE);
    loop {
        if meter.faulty() {
            assert!(program.status().expect("it starts").success());
        } else {
            compute(150);
            sleep_us(args.number(0));
        }
        meter.add(1);
    }
}

/// `vfork`: works alone. Faulty: makes a child by `vfork`, which neither executes a program nor ends.
pub(crate) fn vfork(_: &Args, meter: Meter) {
    while !meter.faulty() {
        compute(500);
        sleep_us(500);
        meter.add(1);
    }
    // By the raw call, with a stack of its own, so that the parent's is not written to: clone(CLONE_VM | CLONE_VFORK).
    let mut stack = vec![0_u8; 65_536];
    let kind = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the end of the new stack; the child only sleeps on it, and the parent waits in the kernel until it ends.
    let child = unsafe {
        libc::clone(
            stuck,
            stack.as_mut_ptr().add(65_536).cast(),
            kind,
            std::ptr::from_ref(&meter).cast_mut().cast(),
        )
    };
    assert!(child > 0, "it has ended");
}

/// The child: reports its pid and does nothing for a minute.
extern "C" fn stuck(meter: *mut libc::c_void) -> i32 {
    // SAFETY: sets a flag of this process: its parent cannot end it while it waits.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: the parent's meter, which it keeps while it waits for us.
    unsafe { *meter.cast::<Meter>() }.tell(std::process::id());
    sleep_us(60_000_000);
    0
}

/// `descriptors EACH`: requests that look through all open descriptors. Faulty: `EACH` ms one more stays open.
pub(crate) fn descriptors(args: &Args, meter: Meter) {
    let limit =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).expect("a limit").1;
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, limit, limit)
        .expect("up to it");
    let mut open = vec![File::open("/dev/null").expect("always there")];
    loop {
        if meter.faulty() && (open.len() as u64) < limit - 100 {
            open.push(File::open("/dev/null").expect("always there"));
        }
        let mut polled: Vec<libc::pollfd> = open
            .iter()
            .map(|file| libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLPRI, revents: 0 })
            .collect();
        // SAFETY: as many as the list has; 0 ms.
        unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as u64, 0) };
        compute(50);
        sleep_us(args.number(0));
        meter.add(1);
    }
}

/// `compile DIRECTORY JOBS`: a build: compilers, so many at a time, of sources with much to do.
pub(crate) fn compile(args: &Args, meter: Meter) {
    let dir = Path::new(args.text(0));
    thread::scope(|scope| {
        for job in 0..args.number(1) {
            let source = dir.join(format!("source{job}.c"));
            scope.spawn(move || {
                std::fs::write(&source, program()).expect("a file");
                let mut cc = Command::new("cc");
                cc.args(["-O2", "-c", "-o"])
                    .arg(source.with_extension("o"))
                    .arg(&source)
                    .stdin(Stdio::null());
                loop {
                    assert!(cc.status().expect("a compiler").success());
                    meter.add(1);
                }
            });
        }
    });
}

/// A source that takes a compiler about half a second.
fn program() -> String {
    let function = |n: u32| {
        format!(
            "int f{n}(int *a, int n) {{ int s = {n}; for (int i = 0; i < n; i++) {{ for (int j = i; j < n; j++) {{ \
             a[j] = a[i] * s + a[j] % (i + {n} + 1); s ^= a[j] > s ? a[i] : j; }} }} return s; }}\n"
        )
    };
    (0..120).map(function).collect()
}
