//! A taken-over process of the agent: puts on its restrictions, then tries what an attacker would.
//!
//! `confined PROCESS`: one line an attempt, `name ERRNO` (0: it worked), then `refused N LAST`.
//! `confined PROCESS cost`: nanoseconds of a system call before and after, `ns BEFORE AFTER`.
//! `confined PROCESS -- COMMAND …`: becomes the command.

use std::ffi::c_long;
use std::os::unix::process::CommandExt as _;
use std::time::Instant;

use sandbox::Process;

/// One system call with numbers, addresses of nothing among them: what is let through fails with another error.
fn call(number: c_long, arguments: [usize; 6]) -> i32 {
    let with = arguments;
    // SAFETY: every pointer among the arguments is null or not looked at.
    let result = unsafe { libc::syscall(number, with[0], with[1], with[2], with[3], with[4], with[5]) };
    if result >= 0 { 0 } else { nix::errno::Errno::last_raw() }
}

fn attempts() -> Vec<(&'static str, i32)> {
    let socket =
        |family: i32| call(libc::SYS_socket, [family as usize, libc::SOCK_DGRAM as usize, 0, 0, 0, 0]);
    let private = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    let map = |protection: i32| call(libc::SYS_mmap, [0, 4096, protection as usize, private, usize::MAX, 0]);
    let parent = nix::unistd::getppid().as_raw() as usize;
    let here = libc::AT_FDCWD as usize;
    vec![
        ("execve", call(libc::SYS_execve, [0; 6])),
        ("execveat", call(libc::SYS_execveat, [0; 6])),
        // A combination that no kernel takes: where the filter lets it through there is still no other process.
        ("fork", call(libc::SYS_clone, [(libc::CLONE_SIGHAND | libc::SIGCHLD) as usize, 0, 0, 0, 0, 0])),
        ("clone3", call(libc::SYS_clone3, [0; 6])),
        ("thread", std::thread::spawn(|| ()).join().map_or(-1, |()| 0)),
        ("inet", socket(libc::AF_INET)),
        ("inet6", socket(libc::AF_INET6)),
        ("packet", socket(libc::AF_PACKET)),
        ("vsock", socket(libc::AF_VSOCK)),
        ("unix", socket(libc::AF_UNIX)),
        ("netlink", socket(libc::AF_NETLINK)),
        ("ptrace", call(libc::SYS_ptrace, [libc::PTRACE_ATTACH as usize, parent, 0, 0, 0, 0])),
        ("write_memory", call(libc::SYS_process_vm_writev, [parent, 0, 0, 0, 0, 0])),
        ("map_code", map(libc::PROT_READ | libc::PROT_EXEC)),
        ("map_data", map(libc::PROT_READ)),
        ("unshare", call(libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0, 0])),
        ("setns", call(libc::SYS_setns, [usize::MAX, 0, 0, 0, 0, 0])),
        ("mount", call(libc::SYS_mount, [0; 6])),
        ("module", call(libc::SYS_init_module, [0; 6])),
        ("kexec", call(libc::SYS_kexec_load, [0; 6])),
        ("setuid", call(libc::SYS_setuid, [0; 6])),
        ("capset", call(libc::SYS_capset, [0; 6])),
        ("type", call(libc::SYS_ioctl, [usize::MAX, libc::TIOCSTI as usize, 0, 0, 0, 0])),
        ("bpf", call(libc::SYS_bpf, [usize::MAX, 0, 0, 0, 0, 0])),
        ("perf", call(libc::SYS_perf_event_open, [0, 0, 0, 0, 0, 0])),
        ("io_uring", call(libc::SYS_io_uring_setup, [0; 6])),
        ("open", call(libc::SYS_openat, [here, 0, 0, 0, 0, 0])),
        ("kill", call(libc::SYS_kill, [parent, 0, 0, 0, 0, 0])),
    ]
}

/// Nanoseconds of a system call that does nothing: the least of several rounds.
fn cost() -> f64 {
    const CALLS: u32 = 200_000;
    let round = |_| {
        let begin = Instant::now();
        for _ in 0..CALLS {
            call(libc::SYS_getppid, [0; 6]);
        }
        begin.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    (0..9).map(round).fold(f64::MAX, f64::min)
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map(String::as_str).unwrap_or_default();
    let process = Process::ALL.into_iter().find(|process| process.comm() == name);
    let process = process.ok_or_else(|| anyhow::anyhow!("no process is called `{name}`"))?;
    let before = cost();
    sandbox::keep(process, &[])?;
    if process == Process::Plugin {
        let reach =
            sandbox::landlock::Reach { read: vec!["/".into()], write: vec!["/tmp".into()], listen: None };
        sandbox::landlock::confine(process, &reach)?;
    }
    sandbox::seccomp::confine(process)?;
    if arguments.get(1).is_some_and(|word| word == "cost") {
        println!("ns {before:.1} {:.1}", cost());
        return Ok(());
    }
    if let Some(at) = arguments.iter().position(|word| word == "--") {
        let error = std::process::Command::new(&arguments[at + 1]).args(&arguments[at + 2..]).exec();
        anyhow::bail!("{}: {error}", arguments[at + 1]);
    }
    for (name, errno) in attempts() {
        println!("{name} {errno}");
    }
    let (count, last) = sandbox::seccomp::refusals();
    println!("refused {count} {}", last.unwrap_or(-1));
    Ok(())
}
