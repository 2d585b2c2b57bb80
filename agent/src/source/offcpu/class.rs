//! The class of a wait, from the functions on its kernel stack.

use agent_common::abi::sched::State;

use super::functions::{Functions, Says};

/// Frames from the leaf within which a lock or block device is what the thread waits for, and not only on the way.
const MAX_LEAF_DISTANCE: usize = 8;

/// States of which the accounting is sure: the system call or the scheduler said it.
const fn is_sure(accounted: State) -> bool {
    matches!(
        accounted,
        State::FutexLock
            | State::FutexWait
            | State::Dns
            | State::Poll
            | State::Sleep
            | State::Stopped
            | State::KernelIdle
            | State::NetAccept
            | State::NetConnect
            | State::FileLock
            | State::AsyncIo
            | State::Writeback
    )
}

/// The state of a wait that was accounted as `accounted` and has these frames, leaf first.
///
/// What is done for the memory manager comes before what the system call is about, since the call is not its reason;
/// a lock at the leaf comes before both, since another thread holds it.
pub(super) fn state_of(functions: &Functions, accounted: State, frames: &[u64]) -> State {
    if is_sure(accounted) {
        return accounted;
    }
    let said: Vec<(usize, Says)> =
        frames.iter().enumerate().filter_map(|(at, frame)| Some((at, functions.says(*frame)?))).collect();
    let any = |says: Says| said.iter().any(|(_, one)| *one == says);
    let near = |says: Says| said.iter().any(|(at, one)| *at < MAX_LEAF_DISTANCE && *one == says);
    if near(Says::Waits(State::KernelLock)) {
        return State::KernelLock;
    }
    for state in [State::Reclaim, State::Swap, State::Writeback, State::Fsync] {
        if any(Says::Waits(state)) {
            return state;
        }
    }
    if near(Says::Block) {
        return if any(Says::Faults) {
            State::FaultFile
        } else if any(Says::Writes) {
            State::DiskWrite
        } else {
            State::DiskRead
        };
    }
    // What is nearest to the leaf says most of what is left.
    let waits = said.iter().find_map(|(_, says)| match says {
        Says::Waits(state) => Some(*state),
        _ => None,
    });
    waits.unwrap_or(accounted)
}

/// Whether an interrupt ended the wait, and not who ran: by the waker's frames.
pub(super) fn by_interrupt(functions: &Functions, frames: &[u64]) -> bool {
    frames.iter().any(|frame| functions.says(*frame) == Some(Says::Interrupt))
}

/// Whether who ended the wait did so by closing its end of it: by the waker's frames.
pub(super) fn by_closing(functions: &Functions, frames: &[u64]) -> bool {
    frames.iter().any(|frame| functions.says(*frame) == Some(Says::Closes))
}

/// Whether a wait was for the answer of a file system's server (FUSE): by its own frames, or since that answer ended it. What a
/// program waits for by intent (a lock of its own, a timer, many descriptors) is that.
pub(super) fn by_file_server(functions: &Functions, accounted: State, frames: &[u64], waker: &[u64]) -> bool {
    let says = |frames: &[u64], what: Says| frames.iter().any(|frame| functions.says(*frame) == Some(what));
    (!is_sure(accounted) || accounted == State::AsyncIo)
        && (says(frames, Says::Asks) || says(waker, Says::Answers))
}

/// The frames without the probe's own on top.
pub(super) fn without_probe<'a>(functions: &Functions, frames: &'a [u64]) -> &'a [u64] {
    let own =
        frames.iter().take(MAX_LEAF_DISTANCE).rposition(|frame| functions.says(*frame) == Some(Says::Probe));
    own.map_or(frames, |last| &frames[last + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stacks as they were recorded on 6.18, leaf first, and what they are.
    const RECORDED: [(State, State, &str); 14] = [
        (
            State::DiskRead,
            State::DiskRead,
            "schedule io_schedule folio_wait_bit_common filemap_get_pages filemap_read vfs_read ksys_read do_syscall_64",
        ),
        (
            State::DiskWrite,
            State::DiskWrite,
            "schedule io_schedule rq_qos_wait wbt_wait submit_bio vfs_write ksys_write do_syscall_64",
        ),
        (
            State::DiskWrite,
            State::Reclaim,
            "schedule_timeout reclaim_throttle shrink_node try_to_free_mem_cgroup_pages generic_perform_write vfs_write",
        ),
        (
            State::FaultFile,
            State::Swap,
            "schedule io_schedule folio_wait_bit_common __folio_lock_or_retry do_swap_page handle_mm_fault \
             exc_page_fault asm_exc_page_fault",
        ),
        (
            State::FaultFile,
            State::FaultFile,
            "schedule io_schedule folio_wait_bit_common filemap_fault __do_fault handle_mm_fault asm_exc_page_fault",
        ),
        (
            State::Uninterruptible,
            State::Fsync,
            "schedule jbd2_log_wait_commit ext4_sync_file do_fsync __x64_sys_fsync do_syscall_64",
        ),
        (
            State::Fsync,
            State::KernelLock,
            "schedule schedule_preempt_disabled rwsem_down_write_slowpath down_write ext4_sync_file do_fsync",
        ),
        (
            State::Uninterruptible,
            State::KernelLock,
            "schedule percpu_rwsem_wait __percpu_down_read mnt_want_write do_unlinkat",
        ),
        (
            State::Interruptible,
            State::Ipc,
            "schedule unix_stream_read_generic unix_stream_recvmsg sock_recvmsg",
        ),
        (State::Ipc, State::Ipc, "schedule anon_pipe_write vfs_write ksys_write do_syscall_64"),
        (
            State::NetRecv,
            State::NetRecv,
            "schedule schedule_timeout wait_woken sk_wait_data tcp_recvmsg_locked tcp_recvmsg inet_recvmsg",
        ),
        (
            State::Uninterruptible,
            State::Child,
            "schedule schedule_timeout wait_for_completion_state kernel_clone",
        ),
        (State::FutexLock, State::FutexLock, "schedule futex_do_wait __futex_wait futex_wait do_futex"),
        (State::Uninterruptible, State::Uninterruptible, "schedule some_driver_wait do_syscall_64"),
    ];

    #[test]
    fn recorded_stacks_are_what_they_are() {
        let mut names: Vec<&str> = RECORDED.iter().flat_map(|(.., stack)| stack.split_whitespace()).collect();
        names.sort_unstable();
        names.dedup();
        let (functions, address_of) = Functions::of_names(&names);
        for (accounted, expected, stack) in RECORDED {
            let frames: Vec<u64> = stack.split_whitespace().map(&address_of).collect();
            assert_eq!(state_of(&functions, accounted, &frames), expected, "{stack}");
        }
    }

    #[test]
    fn either_stack_shows_a_wait_that_a_file_systems_server_ends() {
        let names = [
            "folio_wait_bit_common",
            "request_wait_answer",
            "fuse_dev_do_write",
            "folio_wake_bit",
            "vfs_read",
        ];
        let (functions, address_of) = Functions::of_names(&names);
        let of = |names: &[&str]| names.iter().map(|name| address_of(name)).collect::<Vec<_>>();
        let by = |accounted, frames: &[&str], waker: &[&str]| {
            by_file_server(&functions, accounted, &of(frames), &of(waker))
        };
        let page: &[&str] = &["folio_wait_bit_common", "vfs_read"];
        assert!(
            by(State::DiskRead, page, &["folio_wake_bit", "fuse_dev_do_write"]),
            "a page that it has read"
        );
        assert!(!by(State::DiskRead, page, &["folio_wake_bit"]), "a disk");
        assert!(by(State::Interruptible, &["request_wait_answer"], &[]), "a name that it looks up");
        assert!(!by(State::Poll, &[], &["fuse_dev_do_write"]), "waits for events");
    }

    #[test]
    fn the_probes_frames_are_cut_and_an_interrupt_is_no_waker() {
        let names = [
            "bpf_get_stack_raw_tp",
            "bpf_trace_run1",
            "__traceiter_sched_waking",
            "try_to_wake_up",
            "hrtimer_wakeup",
            "asm_sysvec_apic_timer_interrupt",
            "pipe_write",
            "__tcp_close",
        ];
        let (functions, address_of) = Functions::of_names(&names);
        let frames: Vec<u64> = names[..6].iter().map(|name| address_of(name)).collect();
        assert_eq!(without_probe(&functions, &frames), &frames[3..]);
        assert!(by_interrupt(&functions, &frames));
        let frames = [address_of("try_to_wake_up"), address_of("pipe_write")];
        assert_eq!(without_probe(&functions, &frames), frames);
        assert!(!by_interrupt(&functions, &frames) && !by_closing(&functions, &frames));
        assert!(by_closing(&functions, &[frames[0], address_of("__tcp_close")]));
    }
}
