//! From a system call to the state a thread is in while it blocks in it. Used on both sides: the programs ask at
//! every switch, user space once for the threads that were blocked before the agent came.

use super::State;

/// What a call may wait for: one byte in the tables. Below [`Call::FIRST`] it is a [`State`] itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call(pub u8);

impl Call {
    const FIRST: u8 = 64;
    /// Not in the table.
    pub const OTHER: Self = Self(64);
    /// Reads from the descriptor in the first argument.
    pub const READ: Self = Self(65);
    /// Writes to the descriptor in the first argument.
    pub const WRITE: Self = Self(66);
    /// `futex`.
    pub const FUTEX: Self = Self(67);
    /// `poll`, `ppoll`: a timer where the second argument is 0.
    pub const POLL: Self = Self(68);
    /// `select`, `pselect6`: a timer where the first argument is 0.
    pub const SELECT: Self = Self(69);
    /// `accept` on the descriptor.
    pub const ACCEPT: Self = Self(70);
    /// `connect` of the descriptor.
    pub const CONNECT: Self = Self(71);
    /// `ioctl` on the descriptor.
    pub const IOCTL: Self = Self(72);
    /// `open`: waits for the other end of a FIFO.
    pub const OPEN: Self = Self(73);
    /// Changes a file system by path or descriptor.
    pub const CHANGE: Self = Self(74);
    /// `fork`, `vfork`, `clone`: uninterruptible, it waits for a child that was made by `vfork`.
    pub const FORK: Self = Self(75);
    /// `fcntl`: a lock.
    pub const FCNTL: Self = Self(76);
    /// `socketcall` of i386.
    pub const SOCKETCALL: Self = Self(77);
    /// `sendfile`: reads a file, writes the descriptor in the first argument.
    pub const SENDFILE: Self = Self(78);

    /// Whether the descriptor in the first argument decides.
    #[must_use]
    #[inline(always)]
    pub const fn wants_file(self) -> bool {
        matches!(self, Self::READ | Self::WRITE | Self::ACCEPT | Self::CONNECT | Self::IOCTL | Self::SENDFILE)
    }
}

/// Kinds of open files. One byte in a slot; 0: not known.
pub mod file {
    /// Pipe or FIFO.
    pub const PIPE: u8 = 1;
    /// Local socket.
    pub const UNIX: u8 = 2;
    /// Network socket.
    pub const INET: u8 = 3;
    /// Network socket whose other end is port 53.
    pub const DNS: u8 = 4;
    /// File, directory, block device.
    pub const DISK: u8 = 5;
    /// Character device.
    pub const DEVICE: u8 = 6;
    /// `eventfd`.
    pub const EVENT: u8 = 7;
    /// `timerfd`.
    pub const TIMER: u8 = 8;
    /// Anything else that is read for events: inotify, signalfd, netlink.
    pub const EVENTS: u8 = 9;
    /// Socket that listens.
    pub const LISTENER: u8 = 10;
    /// Network socket whose connection is being made.
    pub const CONNECTING: u8 = 11;
}

/// Tables cover numbers below this.
const TABLE: usize = 512;

/// The index of a number in a table; numbers beyond it share the last entry, which is no call.
#[must_use]
#[inline(always)]
pub const fn nr_in_table(nr: u64) -> usize {
    if nr < TABLE as u64 { nr as usize } else { TABLE - 1 }
}

const fn fill(entries: &[(Call, &[u16])]) -> [u8; TABLE] {
    let mut table = [Call::OTHER.0; TABLE];
    let mut e = 0;
    while e < entries.len() {
        let (call, numbers) = entries[e];
        let mut n = 0;
        while n < numbers.len() {
            table[numbers[n] as usize] = call.0;
            n += 1;
        }
        e += 1;
    }
    table
}

const fn state(state: State) -> Call {
    Call(state as u8)
}

/// x86-64 numbers (`arch/x86/entry/syscalls/syscall_64.tbl`).
pub const NATIVE: [u8; TABLE] = fill(&[
    // read pread64 readv recvfrom recvmsg getdents getdents64 splice preadv recvmmsg copy_file_range preadv2
    (Call::READ, &[0, 17, 19, 45, 47, 78, 217, 275, 295, 299, 326, 327]),
    // write pwrite64 writev sendto sendmsg tee vmsplice pwritev sendmmsg pwritev2
    (Call::WRITE, &[1, 18, 20, 44, 46, 276, 278, 296, 307, 328]),
    (Call::SENDFILE, &[40]),
    // open openat openat2
    (Call::OPEN, &[2, 257, 437]),
    // poll ppoll; select pselect6
    (Call::POLL, &[7, 271]),
    (Call::SELECT, &[23, 270]),
    // epoll_wait epoll_pwait io_uring_enter epoll_pwait2
    (state(State::Poll), &[232, 281, 426, 441]),
    (Call::IOCTL, &[16]),
    // msync fsync fdatasync sync sync_file_range syncfs
    (state(State::Fsync), &[26, 74, 75, 162, 277, 306]),
    // pause nanosleep rt_sigtimedwait rt_sigsuspend restart_syscall clock_nanosleep
    (state(State::Sleep), &[34, 35, 128, 130, 219, 230]),
    (Call::CONNECT, &[42]),
    // accept accept4
    (Call::ACCEPT, &[43, 288]),
    // clone fork vfork clone3
    (Call::FORK, &[56, 57, 58, 435]),
    // wait4 waitid
    (state(State::Child), &[61, 247]),
    // semop msgsnd msgrcv semtimedop mq_timedsend mq_timedreceive
    (state(State::Ipc), &[65, 69, 70, 220, 242, 243]),
    (Call::FCNTL, &[72]),
    (state(State::FileLock), &[73]),
    // close truncate ftruncate rename mkdir rmdir creat link unlink symlink umount2 mkdirat unlinkat renameat linkat
    // symlinkat fallocate renameat2
    (Call::CHANGE, &[3, 76, 77, 82, 83, 84, 85, 86, 87, 88, 166, 258, 263, 264, 265, 266, 285, 316]),
    (Call::FUTEX, &[202]),
    // futex_waitv futex_wait
    (state(State::FutexWait), &[449, 455]),
    // io_getevents io_pgetevents
    (state(State::AsyncIo), &[208, 333]),
]);

/// i386 numbers (`arch/x86/entry/syscalls/syscall_32.tbl`).
pub const COMPAT: [u8; TABLE] = fill(&[
    // read getdents readv pread64 getdents64 preadv recvmmsg recvfrom recvmsg preadv2 recvmmsg_time64 splice
    (Call::READ, &[3, 141, 145, 180, 220, 313, 333, 337, 371, 372, 377, 378, 417]),
    // write writev pwrite64 tee vmsplice pwritev sendmmsg sendto sendmsg pwritev2
    (Call::WRITE, &[4, 146, 181, 315, 316, 334, 345, 369, 370, 379]),
    (Call::SENDFILE, &[187, 239]),
    (Call::OPEN, &[5, 295, 437]),
    // poll ppoll ppoll_time64; _newselect pselect6 pselect6_time64
    (Call::POLL, &[168, 309, 414]),
    (Call::SELECT, &[142, 308, 413]),
    (state(State::Poll), &[256, 319, 426, 441]),
    (Call::IOCTL, &[54]),
    // sync fsync msync fdatasync sync_file_range syncfs
    (state(State::Fsync), &[36, 118, 144, 148, 314, 344]),
    // restart_syscall pause sigsuspend nanosleep rt_sigtimedwait rt_sigsuspend clock_nanosleep and the time64 ones
    (state(State::Sleep), &[0, 29, 72, 162, 177, 179, 267, 407, 421]),
    (Call::CONNECT, &[362]),
    (Call::ACCEPT, &[364]),
    (Call::FORK, &[2, 120, 190, 435]),
    // waitpid wait4 waitid
    (state(State::Child), &[7, 114, 284]),
    // ipc mq_timedsend mq_timedreceive msgsnd msgrcv and the time64 ones
    (state(State::Ipc), &[117, 279, 280, 400, 401, 402, 418, 419, 420]),
    (Call::FCNTL, &[55, 221]),
    (state(State::FileLock), &[143]),
    (
        Call::CHANGE,
        &[6, 8, 9, 10, 22, 38, 39, 40, 52, 83, 92, 93, 193, 194, 296, 301, 302, 303, 304, 324, 353],
    ),
    (Call::FUTEX, &[240, 422]),
    (state(State::FutexWait), &[449, 455]),
    (state(State::AsyncIo), &[247, 385, 416]),
    (Call::SOCKETCALL, &[102]),
]);

const FUTEX_WAIT: u64 = 0;
const FUTEX_LOCK_PI: u64 = 6;
const FUTEX_WAIT_BITSET: u64 = 9;
const FUTEX_LOCK_PI2: u64 = 13;
/// `FUTEX_CMD_MASK`: without `FUTEX_PRIVATE_FLAG` and `FUTEX_CLOCK_REALTIME`.
const FUTEX_COMMAND: u64 = 0x7f;
/// "Locked, and somebody waits": glibc, Rust, Go all call it so.
const CONTENDED: u64 = 2;
/// `FUTEX_WAITERS`: the word has the owner's tid and this bit (musl, robust and PI mutexes).
const WAITERS: u64 = 1 << 31;

/// Whether a futex wait is one for a lock, by operation and expected value. The rest are conditions, joins, parked
/// threads.
#[must_use]
#[inline(always)]
pub const fn futex_is_lock(op: u64, value: u64) -> bool {
    let value = value & 0xffff_ffff;
    let command = op & FUTEX_COMMAND;
    if command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2 {
        return true;
    }
    // All ones is a parked thread of Rust.
    (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET)
        && (value == CONTENDED || (value & WAITERS != 0 && value != 0xffff_ffff))
}

/// Thread that owns a lock, by its word and the two behind it and one of two customs: the word is its tid (musl, robust and PI
/// mutexes), or it is 2 and the tid follows 8 bytes on (`__owner` of glibc's `pthread_mutex_t`). What a lock of another kind
/// has there is no thread of the process: user space checks that.
#[must_use]
#[inline(always)]
pub const fn futex_owner([word, _, owner]: [u32; 3]) -> u32 {
    /// include/uapi/linux/futex.h
    const TID_MASK: u32 = 0x3fff_ffff;
    if word > 2 { word & TID_MASK } else { owner }
}

/// Whether a futex wait is one for a word that other processes share: without `FUTEX_PRIVATE_FLAG`.
#[must_use]
#[inline(always)]
pub const fn futex_is_shared(op: u64) -> bool {
    const PRIVATE: u64 = 128;
    op & PRIVATE == 0
}

const POLLIN: u16 = 1;
const POLLOUT: u16 = 4;

/// The state of a thread that polls one descriptor of this kind for `events`: a wait with a time-out for what is behind
/// it. What is polled for events of many kinds, or by who has nothing else to do, stays [`State::Poll`].
#[must_use]
#[inline(always)]
pub const fn state_of_poll(file: u8, events: u16) -> u8 {
    match file {
        file::CONNECTING => State::NetConnect as u8,
        file::INET if events & POLLIN != 0 => State::NetRecv as u8,
        file::DNS if events & POLLIN != 0 => State::Dns as u8,
        file::INET | file::DNS if events & POLLOUT != 0 => State::NetSend as u8,
        file::PIPE | file::UNIX if events & (POLLIN | POLLOUT) != 0 => State::Ipc as u8,
        file::LISTENER => State::NetAccept as u8,
        file::TIMER => State::Sleep as u8,
        _ => State::Poll as u8,
    }
}

/// The state of a thread that blocks in a call.
///
/// A number of [`State`], as the programs keep it. `args`: the first three. `deep`: uninterruptible. `iowait`:
/// `task->in_iowait`. `file`: kind of the descriptor in the first argument where [`Call::wants_file`].
#[must_use]
#[inline(always)]
pub const fn state_of_call(call: Call, args: [u64; 3], deep: bool, iowait: bool, file: u8) -> u8 {
    if deep {
        return deep_state(call, iowait, file);
    }
    match call {
        Call::READ | Call::IOCTL => read_state(file),
        Call::WRITE | Call::SENDFILE => write_state(file),
        Call::FUTEX => {
            if futex_is_lock(args[1], args[2]) {
                State::FutexLock as u8
            } else {
                State::FutexWait as u8
            }
        }
        Call::POLL => {
            if args[1] == 0 {
                State::Sleep as u8
            } else {
                State::Poll as u8
            }
        }
        Call::SELECT => {
            if args[0] == 0 {
                State::Sleep as u8
            } else {
                State::Poll as u8
            }
        }
        Call::ACCEPT => {
            if file == file::UNIX {
                State::Ipc as u8
            } else {
                State::NetAccept as u8
            }
        }
        Call::CONNECT => {
            if file == file::UNIX {
                State::Ipc as u8
            } else {
                State::NetConnect as u8
            }
        }
        Call::OPEN => State::Ipc as u8,
        Call::FCNTL => State::FileLock as u8,
        Call::SOCKETCALL => match args[0] {
            3 => State::NetConnect as u8,
            5 | 18 => State::NetAccept as u8,
            9 | 11 | 16 => State::NetSend as u8,
            10 | 12 | 17 => State::NetRecv as u8,
            _ => State::Interruptible as u8,
        },
        Call(simple) if simple < Call::FIRST => simple,
        _ => State::Interruptible as u8,
    }
}

/// Uninterruptible: the disk, or something in the kernel's way.
#[inline(always)]
const fn deep_state(call: Call, iowait: bool, file: u8) -> u8 {
    if call.0 == State::Fsync as u8 {
        return State::Fsync as u8;
    }
    if iowait {
        return match call {
            Call::READ | Call::SENDFILE if file == file::DISK || call.0 == Call::SENDFILE.0 => {
                State::DiskRead as u8
            }
            Call::WRITE if file == file::DISK => State::DiskWrite as u8,
            Call::CHANGE => State::DiskWrite as u8,
            Call::OTHER | Call::OPEN | Call::FORK => State::DiskRead as u8,
            // Memory that the call was given is not there.
            _ => State::FaultFile as u8,
        };
    }
    if call.0 == Call::FORK.0 || call.0 == State::Child as u8 {
        return State::Child as u8;
    }
    State::Uninterruptible as u8
}

#[inline(always)]
const fn read_state(kind: u8) -> u8 {
    match kind {
        file::PIPE | file::UNIX | file::EVENT => State::Ipc as u8,
        file::INET => State::NetRecv as u8,
        file::DNS => State::Dns as u8,
        file::CONNECTING => State::NetConnect as u8,
        file::DISK => State::DiskRead as u8,
        file::DEVICE => State::Device as u8,
        file::TIMER => State::Sleep as u8,
        file::EVENTS | file::LISTENER => State::Poll as u8,
        _ => State::Interruptible as u8,
    }
}

#[inline(always)]
const fn write_state(kind: u8) -> u8 {
    match kind {
        file::PIPE | file::UNIX | file::EVENT | file::EVENTS => State::Ipc as u8,
        file::INET | file::DNS => State::NetSend as u8,
        file::CONNECTING => State::NetConnect as u8,
        file::DISK => State::DiskWrite as u8,
        file::DEVICE => State::Device as u8,
        _ => State::Interruptible as u8,
    }
}
