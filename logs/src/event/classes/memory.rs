//! Memory that is used up or damaged.

use agent_common::wire::finding::Class as Finding;

use super::super::class::{Class, init, kernel, trace};
use crate::Severity;

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "oom-kill-cgroup",
        severity: Severity::Critical,
        doc: "The kernel killed a process because its cgroup had reached `memory.max`. The host may have had plenty of memory: \
              raise the limit, or find what grows.",
        explains: &[Finding::Oom, Finding::Reclaim, Finding::MemoryLeak],
        rules: &[kernel(
            "emory cgroup out of memory: Kill",
            r"^Memory cgroup out of memory: Kill(?:ed)? process (?P<pid>[0-9]+) \((?P<comm>.{1,15})\)",
        )],
        examples: &[
            (
                "Memory cgroup out of memory: Killed process 5242 (python3) total-vm:262144kB, anon-rss:101376kB, file-rss:5632kB, shmem-rss:0kB, UID:0 pgtables:256kB oom_score_adj:0",
                "process python3 (5242)",
            ),
            (
                "Memory cgroup out of memory: Kill process 7 (java) score 1983 or sacrifice child",
                "process java (7)",
            ),
        ],
        near: &["memory: usage 102400kB, limit 102400kB, failcnt 22"],
    },
    Class {
        name: "oom-kill",
        severity: Severity::Critical,
        doc: "The kernel killed a process because the host had no memory left. It takes the largest, which need not be the one \
              that grew: look at the processes' memory before that time.",
        explains: &[Finding::Oom, Finding::HostMemory, Finding::MemoryLeak, Finding::Swap],
        rules: &[kernel(
            "ut of memory",
            r"^Out of memory(?: \(oom_kill_allocating_task\))?: Kill(?:ed)? process (?P<pid>[0-9]+) \((?P<comm>.{1,15})\)",
        )],
        examples: &[
            (
                "Out of memory: Killed process 1234 (mysqld) total-vm:8123456kB, anon-rss:7012345kB, file-rss:0kB, shmem-rss:0kB, UID:112 pgtables:14000kB oom_score_adj:0",
                "process mysqld (1234)",
            ),
            (
                "Out of memory (oom_kill_allocating_task): Killed process 9 (a) b) total-vm:1kB",
                "process a) b (9)",
            ),
        ],
        near: &["Out of memory and no killable processes", "TCP: out of memory"],
    },
    Class {
        name: "oom-kill-unit",
        severity: Severity::Error,
        doc: "systemd saw that the OOM killer had ended a process of a unit. `OOMPolicy=` says what then becomes of the unit.",
        explains: &[Finding::Oom],
        rules: &[init("fe6faa94e7774663a0da52717891d8ef", "OOM killer")],
        examples: &[
            ("db.service: A process of this unit has been killed by the OOM killer.", "unit db.service"),
            ("web.service: The kernel OOM killer killed some processes in this unit.", "unit web.service"),
        ],
        near: &["db.service: Deactivated successfully."],
    },
    Class {
        name: "page-allocation-failed",
        severity: Severity::Error,
        doc: "The kernel found no memory for a request that cannot wait or needs neighbouring pages (`order`). Often a driver's \
              receive buffers: raise `vm.min_free_kbytes`.",
        explains: &[Finding::HostMemory, Finding::Reclaim, Finding::HostNetwork],
        rules: &[kernel(
            "page allocation failure",
            r"^(?P<comm>.{1,15}): page allocation failure: order:[0-9]+, mode:",
        )],
        examples: &[
            (
                "kworker/0:1: page allocation failure: order:4, mode:0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO), nodemask=(null)",
                "process kworker/0:1",
            ),
            (
                "swapper/1: page allocation failure: order:0, mode:0x484020(GFP_ATOMIC|__GFP_COMP)",
                "process swapper/1",
            ),
        ],
        near: &["no page allocation failure so far"],
    },
    Class {
        name: "memory-corruption",
        severity: Severity::Critical,
        doc: "The kernel found its own memory damaged: a broken list, a bad page, an access out of bounds or after free. A driver's \
              bug or bad RAM. Save data and restart; test the memory; note third-party modules.",
        explains: &[Finding::Hang, Finding::CpuKernel],
        rules: &[
            trace(0, " corruption", r"^(?:slab: )?list_(?:add|del) (?:double add|corruption)"),
            trace(0, "Bad page ", r"^BUG: Bad page (?:state|map|cache) in process "),
            trace(1, "BUG: K", r"^BUG: K(?:ASAN|FENCE|MSAN|CSAN): [a-z -]+ in (?P<function>[^ +]+)"),
            trace(1, "BUG ", r"^BUG (?P<slab>[^ ]+) \((?:Not tainted|Tainted: [^)]*)\): "),
            trace(1, "stack-protector", r"^Kernel panic - not syncing: stack-protector: "),
            kernel("Bad rss-counter", r"^BUG: Bad rss-counter state mm:"),
        ],
        examples: &[
            (
                "list_add corruption. prev->next should be next (ffff888), but was ffff889. (prev=ffff888).",
                "host",
            ),
            ("list_del corruption, ffff8881->next is LIST_POISON1 (dead000000000100)", "host"),
            ("BUG: Bad page state in process kworker/1:2  pfn:1234a", "host"),
            ("BUG: KASAN: slab-out-of-bounds in foo_write+0x1c/0x30 [foo]", "function foo_write"),
            ("BUG: KFENCE: use-after-free read in test_uaf+0x3a/0x60", "function test_uaf"),
            ("BUG kmalloc-64 (Not tainted): Right Redzone overwritten", "slab kmalloc-64"),
            (
                "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: foo_ioctl+0x5c/0x60",
                "host",
            ),
            ("BUG: Bad rss-counter state mm:00000000 type:MM_ANONPAGES val:1", "host"),
        ],
        near: &["list_address of the device", "BUG: Bad luck"],
    },
    Class {
        name: "memory-page-failed",
        severity: Severity::Error,
        doc: "The hardware reported a page of RAM as bad, and the kernel took it out of use. Processes that had it are killed. \
              More of them mean that the module must be replaced.",
        explains: &[Finding::HostMemory],
        rules: &[kernel("emory failure: 0x", r"^Memory failure: (?P<page>0x[0-9a-f]+): ")],
        examples: &[
            ("Memory failure: 0x12345: recovery action for dirty LRU page: Recovered", "page 0x12345"),
            (
                "Memory failure: 0x7f3: Sending SIGBUS to app:812 due to hardware memory corruption",
                "page 0x7f3",
            ),
        ],
        near: &["Memory failure handling is enabled"],
    },
];
