//! What a thread that leaves its CPU waits for.

use agent_common::abi::sched::calls::file;
use agent_common::abi::sched::{
    COMPAT, Call, FLAG_COMPAT, FLAG_SHARED, NATIVE, NO_CALL, State, futex_is_lock, futex_is_shared,
    futex_owner, nr_in_table, state_of_call, state_of_poll,
};

use aya_ebpf::helpers::bpf_probe_read_user;

use super::slots::Slot;
use super::{TASK_NOLOAD, TASK_PARKED, TASK_STOPPED, TASK_TRACED, TASK_UNINTERRUPTIBLE};
use crate::kernel::KernelPtr;
use crate::kernel::task::{Task, at};

/// How long the kind of a descriptor is believed: it may be another file's by then. (The file's address would cost a
/// helper call, and is used again just as soon.)
const FILE_BELIEVED_NS: u64 = 1_000_000;

const S_IFMT: u16 = 0o170_000;
const S_IFIFO: u16 = 0o010_000;
const S_IFCHR: u16 = 0o020_000;
const S_IFDIR: u16 = 0o040_000;
const S_IFBLK: u16 = 0o060_000;
const S_IFREG: u16 = 0o100_000;
const S_IFSOCK: u16 = 0o140_000;
/// `ANON_INODE_FS_MAGIC`: eventfd, timerfd, epoll, … Their mode has no type before 6.16, and says "file" since.
const ANON_INODE: u64 = 0x0904_1934;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// include/net/tcp_states.h
const TCP_SYN_SENT: u8 = 2;
const TCP_LISTEN: u8 = 10;
/// Port 53 in network order.
const DNS: u16 = 53u16.to_be();

/// A number of [`State`]. Notes the call in the slot.
#[inline(always)]
pub(crate) fn of(prev: Task, slot: Slot, state: u32, now: u64) -> u8 {
    if state & (TASK_STOPPED | TASK_TRACED) != 0 {
        return State::Stopped as u8;
    }
    let deep = state & TASK_UNINTERRUPTIBLE != 0;
    let context = slot.context();
    if context == State::Writeback as u8 {
        // The pause that was announced is this one.
        slot.set_context(0);
    }
    if prev.in_kernel_only() {
        if context != 0 {
            return context;
        }
        let idle = !deep || state & (TASK_NOLOAD | TASK_PARKED) != 0;
        return if idle { State::KernelIdle as u8 } else { State::Uninterruptible as u8 };
    }
    let regs = prev.regs();
    let number = regs.call();
    let flags = slot.flags() & !(FLAG_COMPAT | FLAG_SHARED);
    if number < 0 {
        slot.set_call(NO_CALL, 0, flags);
        if context != 0 {
            return context;
        }
        // A page fault, or what is done on the way back to user mode.
        return if !deep {
            State::Interruptible as u8
        } else if prev.in_iowait() {
            State::FaultFile as u8
        } else {
            State::Uninterruptible as u8
        };
    }
    let compat = prev.compat();
    let args = regs.args(compat);
    let flags = if compat { flags | FLAG_COMPAT } else { flags };
    slot.set_call(number as u16, args[0], flags);
    if context != 0 {
        return context;
    }
    let index = nr_in_table(number as u64);
    let call = Call(if compat { COMPAT[index] } else { NATIVE[index] });
    if call.0 == Call::FUTEX.0 && !deep {
        slot.set_word(args[0]);
        slot.set_owner(if futex_is_lock(args[1], args[2]) { owner_of(args[0]) } else { 0 });
        if futex_is_shared(args[1]) {
            slot.set_call(number as u16, args[0], flags | FLAG_SHARED);
        }
    }
    // One descriptor: who polls it waits for it, with a time-out.
    let polls_one = call.0 == Call::POLL.0 && args[1] == 1 && !deep;
    let (fd, events) = if polls_one { pollfd(args[0]) } else { (args[0] as u32, 0) };
    let file = if call.wants_file() || polls_one { kind_of(prev, slot, fd, now) } else { 0 };
    if polls_one {
        let state = state_of_poll(file, events);
        if state != State::Poll as u8 {
            slot.set_call(number as u16, u64::from(fd), flags);
        }
        return state;
    }
    state_of_call(call, args, deep, deep && prev.in_iowait(), file)
}

/// Descriptor and events of the `struct pollfd` at an address; a descriptor that nobody has where it cannot be read.
#[inline(always)]
fn pollfd(entry: u64) -> (u32, u16) {
    // SAFETY: the helper checks the address; the thread that waits is current.
    let words = unsafe { bpf_probe_read_user(entry as *const u64) }.unwrap_or(u64::MAX);
    (words as u32, (words >> 32) as u16)
}

/// Thread that owns the lock at `word`, as far as it says so.
#[inline(always)]
fn owner_of(word: u64) -> u32 {
    // SAFETY: the helper checks the address; the thread that waits is current.
    unsafe { bpf_probe_read_user(word as *const [u32; 3]) }.map_or(0, futex_owner)
}

/// Kind of descriptor `fd`, from the slot where it was the same file a moment ago.
#[inline(always)]
fn kind_of(prev: Task, slot: Slot, fd: u32, now: u64) -> u8 {
    let (known, kind, when) = slot.file();
    if known == fd && now - when < FILE_BELIEVED_NS {
        return kind;
    }
    let Some(kind) = prev.file(fd).and_then(look_up) else { return 0 };
    slot.set_file(fd, kind, now);
    kind
}

#[inline(always)]
fn look_up(file: KernelPtr) -> Option<u8> {
    let inode = file.follow(at!(file_inode))?;
    let mode: u16 = inode.read(at!(inode_mode))?;
    let kind = match mode & S_IFMT {
        S_IFIFO => file::PIPE,
        S_IFCHR => file::DEVICE,
        S_IFDIR | S_IFBLK => file::DISK,
        S_IFSOCK => return socket(file),
        S_IFREG | 0 => {
            if inode.follow(at!(inode_sb))?.read::<u64>(at!(sb_magic))? != ANON_INODE {
                return Some(file::DISK);
            }
            return anonymous(file);
        }
        _ => return None,
    };
    Some(kind)
}

#[inline(always)]
fn socket(file: KernelPtr) -> Option<u8> {
    let sock = file.follow(at!(file_private_data))?.follow(at!(socket_sk))?;
    let family = sock.read::<u16>(at!(sock_family))?;
    let state = sock.read::<u8>(at!(sock_state))?;
    Some(match family {
        AF_UNIX | AF_INET | AF_INET6 if state == TCP_LISTEN => file::LISTENER,
        AF_UNIX => file::UNIX,
        AF_INET | AF_INET6 => {
            if state == TCP_SYN_SENT {
                file::CONNECTING
            } else if sock.read::<u16>(at!(sock_dport))? == DNS {
                file::DNS
            } else {
                file::INET
            }
        }
        _ => file::EVENTS,
    })
}

/// An anonymous inode: its name tells.
#[inline(always)]
fn anonymous(file: KernelPtr) -> Option<u8> {
    let name: [u8; 8] = file.follow(at!(file_dentry))?.follow(at!(dentry_name))?.read(0)?;
    Some(match &name {
        b"[timerfd" => file::TIMER,
        b"[eventfd" => file::EVENT,
        _ => file::EVENTS,
    })
}
