//! The calls of a process that failed last, with the path or address that each named.

use core::ffi::c_void;

use agent_common::abi::endings::{
    CALLS_KEPT, CALLS_TABLE, COMPONENT_BYTES, COMPONENTS, FILE_FIRST, FailedCall, FailedCalls, IN_FIRST,
    IN_SECOND, IN_THIRD, PEER_FIFTH, PEER_SECOND, PROCESSES_KEPT, SUBJECT_BYTES, SUBJECT_FILE, SUBJECT_NONE,
    SUBJECT_PATH, SUBJECT_PEER, SUBJECTS, SUBJECTS_COMPAT,
};
use agent_common::abi::syscalls::FLAG_COMPAT;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_probe_read_user_str};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, LruHashMap};

use crate::kernel::CurrentTask;
use crate::kernel::KernelPtr;
use crate::kernel::task::at;

#[map]
static FAILED_CALLS: LruHashMap<u32, FailedCalls> = LruHashMap::with_max_entries(PROCESSES_KEPT, 0);

/// What an entry begins with: never written.
#[map]
static NO_CALLS: Array<FailedCalls> = Array::with_max_entries(1, 0);

static TABLE: [u8; CALLS_TABLE] = SUBJECTS;
static TABLE_COMPAT: [u8; CALLS_TABLE] = SUBJECTS_COMPAT;

/// Errors below 64 that every program meets all the time: EINTR, ECHILD, EAGAIN, ENOTTY, ESPIPE, ENOSYS, ENODATA, ETIME.
const COMMON: u64 = 1 << 4 | 1 << 10 | 1 << 11 | 1 << 25 | 1 << 29 | 1 << 38 | 1 << 61 | 1 << 62;
/// EISCONN, EALREADY.
const COMMON_ABOVE: [u16; 2] = [106, 114];
/// What `connect` answers where it goes on in the background: kept, since its outcome does not name the peer.
const EINPROGRESS: u16 = 115;
/// The kernel's own, which user space does not see: ERESTARTSYS and the like.
const FIRST_INTERNAL: u16 = 512;
const ENOENT: u16 = 2;
const EBADF: u16 = 9;
const EINVAL: u16 = 22;
const ETIMEDOUT: u16 = 110;
/// 64-bit calls.
const CLOSE: u16 = 3;
const ACCESS: u16 = 21;
const CONNECT: u16 = 42;
const READLINK: u16 = 89;
const FUTEX: u16 = 202;
const READLINKAT: u16 = 267;

pub(super) const GETSOCKOPT: u16 = 55;
const SOL_SOCKET: u32 = 1;
const SO_ERROR: u32 = 4;

/// EIO, ENOSPC, EROFS, EFBIG below 64, of which the file matters; EDQUOT above.
const OF_FILES: u64 = 1 << 5 | 1 << 28 | 1 << 30 | 1 << 27;
const EDQUOT: u16 = 122;

/// Whether an error is no news in any program.
#[inline(always)]
fn is_common(nr: u16, errno: u16) -> bool {
    if errno < 64 && COMMON >> errno & 1 != 0 {
        return true;
    }
    if errno >= FIRST_INTERNAL || errno == COMMON_ABOVE[0] || errno == COMMON_ABOVE[1] {
        return true;
    }
    (errno == EINVAL && (nr == READLINK || nr == READLINKAT))
        || (errno == ETIMEDOUT && nr == FUTEX)
        || (errno == EBADF && nr == CLOSE)
        || (errno == EINPROGRESS && nr != CONNECT)
}

/// A call of `process` failed.
#[inline(always)]
pub(super) fn failed(current: &impl CurrentTask, process: u32, tid: u32, nr: u16, flags: u8, errno: u16) {
    let compat = flags & FLAG_COMPAT != 0;
    if !is_common(if compat { u16::MAX } else { nr }, errno) {
        keep(current, process, tid, nr, flags, errno);
    }
}

/// `getsockopt` of the 64-bit calls returned: where it was asked how a connection in the background ended, and that is an error,
/// it is kept as the call's own.
#[inline(always)]
pub(super) fn asked(current: &impl CurrentTask, process: u32, tid: u32) {
    if current.argument::<1>(false) as u32 != SOL_SOCKET || current.argument::<2>(false) as u32 != SO_ERROR {
        return;
    }
    let mut error = 0_u32;
    let at = current.argument::<3>(false) as *const c_void;
    // SAFETY: the helper checks the address; there is room for that.
    let read = unsafe { bpf_probe_read_user((&raw mut error).cast(), 4, at) };
    if read == 0 && error != 0 && error < u32::from(FIRST_INTERNAL) {
        keep(current, process, tid, GETSOCKOPT, 0, error as u16);
    }
}

#[inline(always)]
fn keep(current: &impl CurrentTask, process: u32, tid: u32, nr: u16, flags: u8, errno: u16) {
    let compat = flags & FLAG_COMPAT != 0;
    let Some(calls) = of(process, !compat && nr == ACCESS && errno == ENOENT) else { return };
    let table = if compat { &TABLE_COMPAT } else { &TABLE };
    let place = if (nr as usize) < CALLS_TABLE {
        // The compiler makes another register of the number that was compared.
        let nr = super::masked::<{ CALLS_TABLE as u64 - 1 }>(nr.into()) as usize;
        // SAFETY: the index is masked. Volatile, or the compiler makes a chain of comparisons of the table.
        unsafe { table.as_ptr().add(nr).read_volatile() }
    } else {
        0
    };
    // SAFETY: a map value. Other threads may write it at the same time: every place is checked before it is used.
    unsafe {
        let mut next = (&raw const (*calls).next).read_volatile() as usize;
        if next >= CALLS_KEPT {
            next = 0;
        }
        let first = (&raw mut (*calls).calls).cast::<FailedCall>();
        let call = first.add(next);
        // What was here is gone, whether this call is the one before once more or not: user space skips it.
        (&raw mut (*call).count).write_volatile(0);
        let subject = (&raw mut (*call).subject).cast::<u64>();
        for word in 0..SUBJECT_BYTES / 8 {
            subject.add(word).write_volatile(0);
        }
        let (mut kind, mut bytes, mut dev) = (SUBJECT_NONE, 0, 0);
        let argument = current.argument::<0>(compat);
        if place == IN_FIRST {
            kind = path(subject, argument);
        } else if place == IN_SECOND {
            kind = path(subject, current.argument::<1>(compat));
        } else if place == IN_THIRD {
            kind = path(subject, current.argument::<2>(compat));
        } else if place == PEER_SECOND {
            bytes = current.argument::<2>(compat);
            kind = peer(subject, current.argument::<1>(compat), bytes);
        } else if place == PEER_FIFTH {
            bytes = current.argument::<5>(compat);
            kind = peer(subject, current.argument::<4>(compat), bytes);
        } else if place == FILE_FIRST
            && (errno == EDQUOT || errno < 64 && OF_FILES >> errno & 1 != 0)
            && let Some(file) = current.file(argument as u32)
        {
            (kind, dev, bytes) = of_file(subject, file);
        }
        let now = bpf_ktime_get_ns();
        // Kept, not computed: of `next - 1` the verifier believes that it may be below 0.
        let mut last = (&raw const (*calls).last).read_volatile() as usize;
        if last >= CALLS_KEPT {
            last = 0;
        }
        let before = first.add(last);
        if is_same(before, subject, nr, errno, kind) {
            (*before).at_ns = now;
            (*before).count = (*before).count.wrapping_add(1);
            return;
        }
        (*call).at_ns = now;
        (*call).first = argument;
        (*call).count = 1;
        (*call).dev = dev;
        (*call).tid = tid;
        (*call).nr = nr;
        (*call).errno = errno;
        (*call).kind = kind;
        (*call).flags = flags;
        (*call).bytes = bytes as u16;
        (&raw mut (*calls).last).write_volatile(next as u32);
        (&raw mut (*calls).next).write_volatile(next as u32 + 1);
        let count = (&raw const (*calls).count).read_volatile();
        (&raw mut (*calls).count).write_volatile(count.wrapping_add(1));
    }
}

/// The entry of a process; made where there is none, unless this is what the loader asks for in every program.
#[inline(always)]
fn of(process: u32, by_loader: bool) -> Option<*mut FailedCalls> {
    if by_loader {
        FAILED_CALLS.get_ptr_mut(process)
    } else {
        super::entry(&FAILED_CALLS, process, &NO_CALLS)
    }
}

#[inline(always)]
fn path(to: *mut u64, from: u64) -> u8 {
    // SAFETY: the helper checks the address; there is room for that.
    let read = unsafe { bpf_probe_read_user_str(to.cast(), SUBJECT_BYTES as u32, from as *const c_void) };
    if read > 0 { SUBJECT_PATH } else { SUBJECT_NONE }
}

#[inline(always)]
fn peer(to: *mut u64, from: u64, bytes: u64) -> u8 {
    if bytes == 0 || bytes >= SUBJECT_BYTES as u64 {
        return SUBJECT_NONE;
    }
    let bytes = super::masked::<{ SUBJECT_BYTES as u64 - 1 }>(bytes) as u32;
    // SAFETY: the helper checks the address; there is room for that.
    let read = unsafe { bpf_probe_read_user(to.cast(), bytes, from as *const c_void) };
    if read == 0 { SUBJECT_PEER } else { SUBJECT_NONE }
}

/// The last components of a file's path, its device, and 1 where these are all.
#[inline(always)]
fn of_file(to: *mut u64, file: KernelPtr) -> (u8, u32, u64) {
    let Some(mut entry) = file.follow(at!(file_dentry)) else { return (SUBJECT_NONE, 0, 0) };
    let mut whole = 0;
    for level in 0..COMPONENTS {
        let Some(name) = entry.follow(at!(dentry_name)) else { break };
        // SAFETY: the helper checks the address; there is room for that.
        unsafe {
            let to = to.cast::<u8>().add(level * COMPONENT_BYTES);
            bpf_probe_read_kernel_str(to.cast(), COMPONENT_BYTES as u32, name.0.cast());
        }
        let Some(parent) = entry.follow(super::ending_offset!(dentry_parent)) else { break };
        if parent.0 == entry.0 {
            whole = 1;
            break;
        }
        entry = parent;
    }
    if entry.follow(super::ending_offset!(dentry_parent)).is_some_and(|parent| parent.0 == entry.0) {
        whole = 1;
    }
    let dev = file.follow(at!(file_inode)).and_then(|inode| inode.follow(at!(inode_sb)));
    (SUBJECT_FILE, dev.and_then(|sb| sb.read(at!(sb_dev))).unwrap_or(0), whole)
}

/// Whether the call before failed in the same way about the same thing.
///
/// # Safety
/// Both must be places in a map value.
#[inline(always)]
unsafe fn is_same(before: *const FailedCall, subject: *const u64, nr: u16, errno: u16, kind: u8) -> bool {
    // SAFETY: as promised.
    unsafe {
        if (*before).nr != nr || (*before).errno != errno || (*before).kind != kind || (*before).count == 0 {
            return false;
        }
        let other = (&raw const (*before).subject).cast::<u64>();
        let mut different = 0;
        // Without a branch each, of which the verifier would follow both sides.
        for word in 0..SUBJECT_BYTES / 8 {
            different |= other.add(word).read_volatile() ^ subject.add(word).read_volatile();
        }
        different == 0
    }
}

/// Whether there are failed calls of a process.
#[inline(always)]
pub(super) fn are_kept(process: u32) -> bool {
    FAILED_CALLS.get_ptr(process).is_some()
}

#[inline(always)]
pub(super) fn forget(process: u32) {
    let _ = FAILED_CALLS.remove(process);
}
