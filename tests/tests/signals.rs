//! Signals that end or stop a process are counted, with who sent them.

use std::process::{Child, Command, Stdio};

use agent_common::units::Tgid;
use diagnosis::window::Window;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::windows::{own, window_of};
use tests::workload::Workload;

fn sleeper() -> Child {
    Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("sleep starts")
}

/// (signal, sender, count) of a receiver.
fn signals(window: &Window, tgid: u32) -> Vec<(u8, Tgid, u64)> {
    window
        .signals
        .iter()
        .filter(|row| row.tgid == Tgid(tgid))
        .map(|row| (row.signal, row.sender, row.count))
        .collect()
}

#[test]
fn each_signal_that_ends_or_stops_is_counted_with_its_sender() {
    if !tests::can_observe() {
        return;
    }
    let mut children: Vec<Child> = (0..20).map(|_| sleeper()).collect();
    let (window, ()) = window_of(|| {
        for (index, child) in children.iter_mut().enumerate() {
            let pid = Pid::from_raw(child.id().cast_signed());
            let send = |signal| kill(pid, signal).expect("it lives");
            match index % 4 {
                0 => send(Signal::SIGKILL),
                1 => send(Signal::SIGTERM),
                2 => {
                    send(Signal::SIGSTOP);
                    send(Signal::SIGKILL);
                }
                // The default of these is to do nothing: no row.
                _ => {
                    send(Signal::SIGCHLD);
                    send(Signal::SIGURG);
                    send(Signal::SIGUSR2);
                }
            }
            child.wait().expect("a child of ours");
        }
    });
    for (index, child) in children.iter().enumerate() {
        let expected = match index % 4 {
            0 => vec![(9, own(), 1)],
            1 => vec![(15, own(), 1)],
            2 => vec![(9, own(), 1), (19, own(), 1)],
            _ => vec![(12, own(), 1)],
        };
        assert_eq!(signals(&window, child.id()), expected, "{:?}", window.signals);
        assert!(window.signals.iter().any(|row| row.tgid == Tgid(child.id()) && &*row.comm == "sleep"));
    }
}

#[test]
fn a_fault_is_the_kernels_doing_and_a_caught_signal_is_none() {
    if !tests::can_observe() {
        return;
    }
    let mut fault = Workload::start("fault", &[]);
    let mut caught = Workload::start("interrupted", &[300]);
    let (window, ()) = window_of(|| {
        fault.begin();
        caught.work();
        let _ = fault.wait();
    });
    assert_eq!(signals(&window, fault.pid()), [(11, Tgid(0), 1)], "{:?}", window.signals);
    assert_eq!(signals(&window, caught.pid()), [], "{:?}", window.signals);
    caught.finish();
}
