//! CPUs and tasks that do not go on.

use agent_common::wire::finding::Class as Finding;

use super::super::class::{Class, alone, kernel, trace};
use crate::Severity;

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "hung-task",
        severity: Severity::Critical,
        doc: "A task has been uninterruptible for two minutes: it waits for a disk, a network file system or a lock in the kernel. \
              The innermost function says for which.",
        explains: &[
            Finding::Hang,
            Finding::DiskRead,
            Finding::DiskWrite,
            Finding::Fsync,
            Finding::HostDisk,
            Finding::KernelLock,
        ],
        rules: &[alone(
            " blocked ",
            r"^INFO: task (?P<comm>.{1,15}):(?P<pid>[0-9]+) blocked (?:in I/O wait )?for more than [0-9]+ seconds",
        )],
        examples: &[
            ("INFO: task dd:5312 blocked for more than 120 seconds.", "process dd (5312)"),
            ("INFO: task kworker/u8:3:71 blocked for more than 241 seconds.", "process kworker/u8:3 (71)"),
            ("INFO: task mysqld:9 blocked in I/O wait for more than 120 seconds.", "process mysqld (9)"),
        ],
        near: &[
            "INFO: task dd:5312 is blocked on a mutex likely owned by task tar:5313.",
            "\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\" disables this message.",
            "INFO: task list follows",
        ],
    },
    Class {
        name: "soft-lockup",
        severity: Severity::Critical,
        doc: "A CPU has run kernel code for 20 s without letting others run. In a guest also the hypervisor may have stopped it: \
              see steal.",
        explains: &[Finding::CpuKernel, Finding::HostCpu, Finding::CpuSteal, Finding::KernelLock],
        rules: &[alone(
            "soft lockup",
            r"^(?:watchdog: )?BUG: soft lockup - CPU#(?P<cpu>[0-9]+) stuck for [0-9]+s! \[.{1,15}:[0-9]+\]",
        )],
        examples: &[
            ("watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [kworker/0:1:17]", "cpu 0"),
            ("BUG: soft lockup - CPU#3 stuck for 67s! [bash:4711]", "cpu 3"),
        ],
        near: &["watchdog: soft lockup detector enabled"],
    },
    Class {
        name: "hard-lockup",
        severity: Severity::Critical,
        doc: "A CPU has not even taken timer interrupts for 10 s: interrupts are off in a loop, or the hardware stands.",
        explains: &[Finding::CpuKernel, Finding::HostCpu],
        rules: &[alone(
            "hard LOCKUP",
            r"^(?:NMI watchdog: |watchdog: )?(?:Watchdog detected hard LOCKUP on cpu (?P<cpu>[0-9]+)|CPU(?P<cpu2>[0-9]+): Watchdog detected hard LOCKUP)",
        )],
        examples: &[
            ("NMI watchdog: Watchdog detected hard LOCKUP on cpu 2", "cpu 2"),
            ("watchdog: Watchdog detected hard LOCKUP on cpu 11", "cpu 11"),
            ("watchdog: CPU4: Watchdog detected hard LOCKUP on cpu 5", "cpu 4"),
        ],
        near: &["NMI watchdog: Enabled. Permanently consumes one hw-PMU counter."],
    },
    Class {
        name: "rcu-stall",
        severity: Severity::Critical,
        doc: "A CPU or task has kept the kernel's RCU from going on for 21 s: a loop in the kernel, a hypervisor that does not run \
              the guest, a very slow console. Freeing of memory stops meanwhile.",
        explains: &[Finding::CpuKernel, Finding::CpuSteal, Finding::HostCpu, Finding::HostMemory],
        rules: &[
            alone(
                "detected stall|detected expedited",
                r"^(?:rcu: )?INFO: (?P<table>rcu_[a-z_]+) (?:self-)?detected (?:expedited )?stalls? on CPU",
            ),
            kernel(
                " kthread starved for ",
                r"^rcu: (?P<table>rcu_[a-z_]+) kthread starved for [0-9]+ jiffies!",
            ),
        ],
        examples: &[
            ("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", "table rcu_preempt"),
            ("rcu: INFO: rcu_sched self-detected stall on CPU", "table rcu_sched"),
            (
                "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-.... } 21 jiffies s: 77 root: 0x2/.",
                "table rcu_preempt",
            ),
            (
                "rcu: rcu_sched kthread starved for 5250 jiffies! g123 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x0 ->cpu=1",
                "table rcu_sched",
            ),
        ],
        near: &[
            "rcu: Hierarchical RCU implementation.",
            "rcu: \tRCU CPU stall warnings timeout set to 60 (rcu_cpu_stall_timeout).",
        ],
    },
    Class {
        name: "workqueue-stalled",
        severity: Severity::Warning,
        doc: "Work of the kernel's worker threads is not done: one item holds a CPU, or none of them gets to run. What waits for it \
              (flushing, network, USB) stands.",
        explains: &[Finding::CpuKernel, Finding::Writeback, Finding::Hang],
        rules: &[
            kernel("workqueue lockup", r"^BUG: workqueue lockup - pool "),
            kernel(
                "hogged CPU",
                r"^workqueue: (?P<function>[^ ]+) (?:\[[^\]]+\] )?hogged CPU for >[0-9]+us ",
            ),
        ],
        examples: &[
            ("BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 37s!", "host"),
            (
                "workqueue: drm_fb_helper_damage_work hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND",
                "function drm_fb_helper_damage_work",
            ),
        ],
        near: &["workqueue: max_active 512 requested for foo is out of range"],
    },
    Class {
        name: "lock-order",
        severity: Severity::Warning,
        doc: "The kernel's lock checker found an order of locks that can deadlock, or a lock that is used wrongly. It is a bug in the \
              code that is named; nothing stands yet.",
        explains: &[Finding::KernelLock],
        rules: &[
            trace(
                1,
                "WARNING: ",
                r"^WARNING: (?:possible (?:circular|recursive|irq lock inversion|irq-safe|unsafe)[a-z -]*|suspicious RCU usage|inconsistent lock state|bad unlock balance detected|HARDIRQ-safe|SOFTIRQ-safe|lock held when returning)",
            ),
            trace(1, "DEBUG_LOCKS_WARN_ON", r"^DEBUG_LOCKS_WARN_ON\("),
        ],
        examples: &[
            ("WARNING: possible circular locking dependency detected", "host"),
            ("WARNING: suspicious RCU usage", "host"),
            ("WARNING: inconsistent lock state", "host"),
            ("DEBUG_LOCKS_WARN_ON(lock->magic != lock)", "host"),
        ],
        near: &["WARNING: possible", "lockdep is turned off."],
    },
];
