//! The host as a whole: its clock, its modules, its start and stop.

use agent_common::wire::finding::Class as Finding;

use super::super::class::{Class, init, kernel, unit};
use crate::Severity;

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "clock-unstable",
        severity: Severity::Warning,
        doc: "The kernel does not trust the CPU's time stamp counter any more and reads a slow clock instead: each reading of the time \
              becomes a system call's price. Common in guests that were moved.",
        explains: &[Finding::CpuKernel, Finding::SyscallStorm],
        rules: &[
            kernel(
                "arking ",
                r"^clocksource: timekeeping watchdog on CPU[0-9]+: (?:Marking clocksource|[a-z0-9-]+ .*Marking) '?(?P<clock>[a-z0-9_-]+)'? as unstable",
            ),
            kernel(
                "unstable",
                r"^(?:clocksource: |tsc: )?Marking (?:clocksource )?'?(?P<clock>[A-Za-z0-9_-]+)'? (?:as )?unstable",
            ),
        ],
        examples: &[
            (
                "clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable because the skew is too large:",
                "clock tsc",
            ),
            ("tsc: Marking TSC unstable due to clocksource watchdog", "clock TSC"),
        ],
        near: &["clocksource: Switched to clocksource hpet"],
    },
    Class {
        name: "clock-stepped",
        severity: Severity::Notice,
        doc: "The clock was set by a jump. Times of lines before and after do not compare; timers and leases may end at once.",
        explains: &[Finding::TimerStorm],
        rules: &[
            init("c7a787079b354eaaa9e77b371893cd27", r"^Time has been changed"),
            unit(
                "chrony.service",
                "System clock ",
                r"^System clock (?:was stepped by|wrong by) -?[0-9.]+ seconds",
            ),
            unit(
                "chronyd.service",
                "System clock ",
                r"^System clock (?:was stepped by|wrong by) -?[0-9.]+ seconds",
            ),
            unit("ntp", "time s", r"^(?:ntpd: )?(?:CLOCK: )?time (?:set|stepped|step)\b"),
        ],
        examples: &[
            ("Time has been changed", "host"),
            ("System clock was stepped by 1.234567 seconds", "host"),
            ("CLOCK: time stepped by 0.831256", "host"),
            ("System clock wrong by -3.012 seconds", "host"),
        ],
        near: &["System clock TAI offset set to 37 seconds"],
    },
    Class {
        name: "kernel-tainted",
        severity: Severity::Notice,
        doc: "A module from outside the kernel's tree, unsigned or proprietary, was loaded. Faults of the kernel from now on may be its.",
        explains: &[],
        rules: &[
            kernel(
                "module verification failed",
                r"^(?P<module>[A-Za-z0-9_-]+): module verification failed: signature and/or required key missing",
            ),
            kernel(
                "loading out-of-tree module",
                r"^(?P<module>[A-Za-z0-9_-]+): loading out-of-tree module taints kernel",
            ),
            kernel(
                "taints kernel",
                r"^(?P<module>[A-Za-z0-9_-]+): module license '[^']{1,64}' taints kernel",
            ),
        ],
        examples: &[
            (
                "nvidia: module verification failed: signature and/or required key missing - tainting kernel",
                "module nvidia",
            ),
            ("vboxdrv: loading out-of-tree module taints kernel.", "module vboxdrv"),
            ("zfs: module license 'CDDL' taints kernel.", "module zfs"),
        ],
        near: &["zfs: module loaded", "Disabling lock debugging due to kernel taint"],
    },
    Class {
        name: "lockdown-denied",
        severity: Severity::Warning,
        doc: "The kernel is locked down (Secure Boot) and refused a process something that could change it: raw memory, unsigned \
              modules, some BPF.",
        explains: &[Finding::Refused],
        rules: &[kernel(
            "Lockdown: ",
            r"^Lockdown: (?P<comm>.{1,15}): .{1,128} is restricted; see man kernel_lockdown\.7",
        )],
        examples: &[
            ("Lockdown: Xorg: raw io port access is restricted; see man kernel_lockdown.7", "process Xorg"),
            (
                "Lockdown: kexec: kexec of unsigned images is restricted; see man kernel_lockdown.7",
                "process kexec",
            ),
        ],
        near: &["Kernel is locked down from EFI Secure Boot; see man kernel_lockdown.7"],
    },
    Class {
        name: "host-started",
        severity: Severity::Info,
        doc: "The host has booted. What was before has another boot id; a boot that nobody asked for follows a crash, a watchdog or \
              loss of power.",
        explains: &[Finding::ProcessChurn],
        rules: &[
            kernel("Linux version ", r"^Linux version [0-9]+\.[0-9]+"),
            init("b07a249cd024414a82dd00cd181378ff", r"^Startup finished in "),
        ],
        examples: &[
            (
                "Linux version 6.1.0-18-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14) 12.2.0) #1 SMP",
                "host",
            ),
            ("Startup finished in 2.123s (kernel) + 8.012s (userspace) = 10.135s.", "host"),
        ],
        near: &["Linux agpgart interface v0.103"],
    },
    Class {
        name: "host-stopping",
        severity: Severity::Notice,
        doc: "The host is shut down or restarted in order. Processes that end now end by design.",
        explains: &[Finding::ProcessChurn],
        rules: &[
            unit(
                "systemd-logind.service",
                "ystem ",
                r"^(?:The )?[Ss]ystem (?:is powering down|is rebooting|is halting|will (?:reboot|power ?off|halt) now)",
            ),
            kernel("reboot: ", r"^reboot: (?:Restarting system|Power down|System halted)"),
        ],
        examples: &[
            ("System is rebooting.", "host"),
            ("The system will power off now!", "host"),
            ("reboot: Restarting system", "host"),
        ],
        near: &["System is ready.", "reboot: mode"],
    },
    Class {
        name: "host-suspended",
        severity: Severity::Notice,
        doc: "The host slept. Clocks jump, connections are dead, timeouts end all at once.",
        explains: &[Finding::Frozen, Finding::NetPeer],
        rules: &[
            kernel(
                "PM: ",
                r"^PM: (?:suspend entry|hibernation: hibernation entry|hibernation entry|suspend exit)",
            ),
            unit(
                "systemd-suspend.service",
                "ntering sleep state",
                r"^(?:Entering sleep state|Performing sleep operation)",
            ),
        ],
        examples: &[
            ("PM: suspend entry (s2idle)", "host"),
            ("Entering sleep state 'suspend'...", "host"),
            ("PM: suspend exit", "host"),
        ],
        near: &["PM: RTC time: 10:00:00, date: 2026-11-30"],
    },
    Class {
        name: "guest-restored",
        severity: Severity::Notice,
        doc: "This virtual machine was restored from a snapshot or forked. Clocks have jumped, connections are gone, and what was cached \
              may be as old as the snapshot.",
        explains: &[Finding::Frozen, Finding::NetPeer],
        rules: &[kernel(
            "due to virtual machine fork",
            r"^random: crng reseeded due to virtual machine fork",
        )],
        examples: &[
            ("random: crng reseeded due to virtual machine fork", "host"),
            ("random: crng reseeded due to virtual machine fork\n", "host"),
        ],
        near: &["random: crng reseeded on system resumption"],
    },
];
