//! Faults of the kernel itself.

use agent_common::wire::finding::Class as Finding;

use super::super::class::{Class, kernel, trace};
use crate::Severity;

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "kernel-panic",
        severity: Severity::Emergency,
        doc: "The kernel has stopped. What it says is seen only on a console, by pstore or netconsole, or after the restart in a \
              copied log.",
        explains: &[Finding::Frozen],
        rules: &[trace(3, "Kernel panic - not syncing", r"^Kernel panic - not syncing: ")],
        examples: &[
            ("Kernel panic - not syncing: Fatal exception in interrupt", "host"),
            ("Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", "host"),
        ],
        near: &["Kernel panics are logged to pstore", "kernel.panic = 10"],
    },
    Class {
        name: "kernel-oops",
        severity: Severity::Critical,
        doc: "The kernel ran into a fault of its own and ended the task that was running. Locks that it held stay held, so the rest \
              of the host may hang later. Restart soon; the function and the modules say whose bug it is.",
        explains: &[Finding::Hang, Finding::KernelLock, Finding::ProcessChurn],
        rules: &[
            trace(
                1,
                "BUG: ",
                r"^BUG: (?:unable to handle |kernel NULL pointer dereference|scheduling while atomic: |stack guard page was hit|spinlock |unable to lock|TASK stack guard|using __this_cpu|sleeping function called from invalid context)",
            ),
            trace(
                1,
                "Unable to handle kernel",
                r"^Unable to handle kernel (?:NULL pointer dereference|paging request|access|execute|read|write)",
            ),
            trace(1, "kernel BUG at ", r"^kernel BUG at [^ ]+:[0-9]+!"),
            trace(
                1,
                "general protection fault",
                r"^(?:Oops: )?general protection fault, (?:probably|maybe) for [a-z -]+address 0x",
            ),
            trace(2, "Oops", r"^(?:Oops: )?Oops(?:: | - )[^\[]{0,64}\[#[0-9]+\](?: |$)"),
            trace(2, "Internal error: ", r"^Internal error: .{1,80} \[#[0-9]+\](?: |$)"),
            trace(
                2,
                " [#",
                r"^(?:Oops: )?(?:invalid opcode|general protection fault|divide error|stack segment|int3|double fault|alignment check|bounds|control protection|invalid TSS|segment not present|coprocessor segment overrun)[a-z ]*: [0-9a-f]{4} \[#[0-9]+\](?: |$)",
            ),
        ],
        examples: &[
            ("BUG: kernel NULL pointer dereference, address: 0000000000000010", "host"),
            ("BUG: unable to handle page fault for address: ffffc90000a3d000", "host"),
            ("BUG: scheduling while atomic: swapper/0/0/0x00000100", "host"),
            ("BUG: sleeping function called from invalid context at kernel/locking/mutex.c:283", "host"),
            ("Unable to handle kernel paging request at virtual address dead000000000108", "host"),
            ("kernel BUG at mm/slub.c:4090!", "host"),
            (
                "general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] PREEMPT SMP NOPTI",
                "host",
            ),
            (
                "Oops: general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP NOPTI",
                "host",
            ),
            ("Oops: 0002 [#1] PREEMPT SMP PTI", "host"),
            ("Oops: Oops: 0000 [#1] SMP", "host"),
            ("Internal error: Oops: 96000004 [#1] PREEMPT SMP", "host"),
            ("invalid opcode: 0000 [#1] SMP", "host"),
        ],
        near: &[
            "Oops, wrong password",
            "BUG: report problems to the vendor",
            "kernel BUG at midnight",
            "debug: Oops: 0000",
        ],
    },
    Class {
        name: "kernel-warning",
        severity: Severity::Warning,
        doc: "Code of the kernel met a state that it takes for impossible. It goes on, and the kernel is tainted. The function says \
              which part; harmless alone, telling beside other trouble.",
        explains: &[Finding::CpuKernel],
        rules: &[
            trace(1, "WARNING: ", r"^WARNING: CPU: [0-9]+ PID: [0-9]+ at [^ ]+:[0-9]+ (?P<function>[^ +]+)"),
            trace(1, "WARNING: ", r"^WARNING: [^ ]+\.[chS]:[0-9]+ at (?P<function>[^ +]+)"),
        ],
        examples: &[
            ("WARNING: CPU: 1 PID: 4242 at net/core/dev.c:5112 netif_rx+0x1a/0x40", "function netif_rx"),
            (
                "WARNING: CPU: 0 PID: 1 at kernel/workqueue.c:3032 __flush_work.isra.0+0x212/0x230",
                "function __flush_work.isra.0",
            ),
            ("WARNING: fs/inode.c:417 at drop_nlink+0x3a/0x50, CPU#2: rm/991", "function drop_nlink"),
        ],
        near: &["WARNING: Spectre v2 mitigation leaves CPU vulnerable", "WARNING: CPU: slow"],
    },
    Class {
        name: "undefined-behaviour",
        severity: Severity::Warning,
        doc: "The kernel's checker for undefined behaviour found an index out of bounds, an overflow or a bad shift. A bug in the \
              code that is named; the kernel goes on.",
        explains: &[],
        rules: &[trace(1, "UBSAN: ", r"^UBSAN: (?P<function>[a-z-]+) in [^ ]+:[0-9]+")],
        examples: &[
            (
                "UBSAN: array-index-out-of-bounds in drivers/net/foo.c:120:14",
                "function array-index-out-of-bounds",
            ),
            ("UBSAN: shift-out-of-bounds in ./include/linux/log2.h:57:13", "function shift-out-of-bounds"),
        ],
        near: &["UBSAN: enabled"],
    },
    Class {
        name: "irq-ignored",
        severity: Severity::Error,
        doc: "An interrupt came that no driver wanted, 100,000 times, and was switched off. Devices that share it now answer slowly \
              or not at all.",
        explains: &[Finding::Softirq, Finding::DiskRead, Finding::DiskWrite, Finding::HostNetwork],
        rules: &[
            kernel("nobody cared", r"^irq (?P<irq>[0-9]+): nobody cared"),
            kernel("Disabling IRQ", r"^Disabling IRQ #(?P<irq>[0-9]+)"),
        ],
        examples: &[
            ("irq 16: nobody cared (try booting with the \"irqpoll\" option)", "irq 16"),
            ("Disabling IRQ #16", "irq 16"),
        ],
        near: &["irq 16: type edge"],
    },
];
