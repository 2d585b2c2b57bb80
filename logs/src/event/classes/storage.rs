//! Disks and arrays.

use agent_common::wire::finding::Class as Finding;

use super::super::class::{Class, kernel};
use crate::Severity;

pub(super) const DISK: &[Finding] = &[
    Finding::DiskRead,
    Finding::DiskWrite,
    Finding::Fsync,
    Finding::HostDisk,
    Finding::Hang,
    Finding::ErrorStorm,
];

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "disk-medium-error",
        severity: Severity::Critical,
        doc: "A disk could not read or write a sector: the data in it is lost. Copy what is left, and replace the disk.",
        explains: DISK,
        rules: &[
            kernel(
                "critical medium error",
                r"^(?:blk_update_request: |print_req_error: )?critical medium error, dev (?P<device>[^ ,]+), sector",
            ),
            kernel(
                "Unrecovered read error",
                r"^(?:sd [0-9:]+: )?\[(?P<device>[a-z0-9]+)\] (?:tag#[0-9]+ )?Add\. Sense: Unrecovered read error",
            ),
        ],
        examples: &[
            (
                "critical medium error, dev sda, sector 123456 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2",
                "device sda",
            ),
            (
                "blk_update_request: critical medium error, dev nvme0n1, sector 99 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0",
                "device nvme0n1",
            ),
            (
                "sd 0:0:0:0: [sdb] tag#3 Add. Sense: Unrecovered read error - auto reallocate failed",
                "device sdb",
            ),
        ],
        near: &["sd 0:0:0:0: [sdb] Write Protect is off"],
    },
    Class {
        name: "disk-full-thin",
        severity: Severity::Critical,
        doc: "A thin pool or a thinly provisioned volume has no space left, though file systems in it still show some.",
        explains: &[Finding::DiskWrite, Finding::Fsync, Finding::ErrorStorm],
        rules: &[
            kernel(
                "critical space allocation error",
                r"^(?:blk_update_request: )?critical space allocation error, dev (?P<device>[^ ,]+), sector",
            ),
            kernel(
                "low water mark",
                r"^device-mapper: thin: (?P<device>[0-9:]+): reached low water mark for data device",
            ),
            kernel(
                "out-of-data-space",
                r"^device-mapper: thin: (?P<device>[0-9:]+): switching pool to out-of-data-space",
            ),
        ],
        examples: &[
            (
                "critical space allocation error, dev dm-3, sector 2048 op 0x1:(WRITE) flags 0x0 phys_seg 1 prio class 2",
                "device dm-3",
            ),
            (
                "device-mapper: thin: 253:4: reached low water mark for data device: sending event.",
                "device 253:4",
            ),
            (
                "device-mapper: thin: 253:4: switching pool to out-of-data-space (queue IO) mode",
                "device 253:4",
            ),
        ],
        near: &["device-mapper: thin: 253:4: growing the data device from 100 to 200 blocks"],
    },
    Class {
        name: "io-error",
        severity: Severity::Error,
        doc: "A request to a disk failed. Processes get EIO; a failed write-back is told at the next `fsync` only. Look for messages \
              of the link or controller just before.",
        explains: DISK,
        rules: &[
            kernel(
                "I/O error, dev ",
                r"^(?:blk_update_request: |print_req_error: )?I/O error, dev (?P<device>[^ ,]+), sector [0-9]+",
            ),
            kernel(
                "uffer I/O error ",
                r"^Buffer I/O error on (?:dev(?:ice)?) (?P<device>[^ ,]+), (?:logical block|async page)",
            ),
            kernel(
                "I/O Error (sct ",
                r"^(?P<device>nvme[0-9]+n[0-9]+): .{1,64} @ LBA [0-9]+, .*I/O Error \(sct ",
            ),
            kernel(
                "critical target error",
                r"^(?:blk_update_request: )?critical target error, dev (?P<device>[^ ,]+), sector",
            ),
            kernel(
                "t error, dev ",
                r"^(?:blk_update_request: )?(?:timeout|recoverable transport) error, dev (?P<device>[^ ,]+), sector",
            ),
        ],
        examples: &[
            (
                "blk_update_request: I/O error, dev loop0, sector 2048 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 0",
                "device loop0",
            ),
            (
                "I/O error, dev sdb, sector 41234 op 0x1:(WRITE) flags 0x800 phys_seg 2 prio class 2",
                "device sdb",
            ),
            (
                "nvme0n1: Read(0x2) @ LBA 4096, 8 blocks, I/O Error (sct 0x2 / sc 0x81) MORE DNR",
                "device nvme0n1",
            ),
            ("Buffer I/O error on dev sda1, logical block 12, async page read", "device sda1"),
            ("Buffer I/O error on device sr0, logical block 9", "device sr0"),
            ("Buffer I/O error on dev dm-0, logical block 1234, lost async page write", "device dm-0"),
            (
                "critical target error, dev sda, sector 12 op 0x3:(DISCARD) flags 0x0 phys_seg 1 prio class 2",
                "device sda",
            ),
            (
                "recoverable transport error, dev sdd, sector 8 op 0x0:(READ) flags 0x4000 phys_seg 1 prio class 0",
                "device sdd",
            ),
        ],
        near: &[
            "I/O error reporting is on",
            "I/O scheduler mq-deadline registered",
            "Buffer I/O errors are counted",
        ],
    },
    Class {
        name: "disk-link-reset",
        severity: Severity::Error,
        doc: "The link to a disk or its controller failed and is set up again; all requests wait meanwhile. Cable, power or disk.",
        explains: DISK,
        rules: &[
            kernel("exception Emask", r"^(?P<device>ata[0-9]+(?:\.[0-9]+)?): exception Emask 0x"),
            kernel("resetting link", r"^(?P<device>ata[0-9]+): (?:hard|soft) resetting link"),
            kernel("failed command: ", r"^(?P<device>ata[0-9]+\.[0-9]+): failed command: [A-Z]"),
            kernel("link is slow to respond", r"^(?P<device>ata[0-9]+): link is slow to respond"),
        ],
        examples: &[
            ("ata1.00: exception Emask 0x0 SAct 0x0 SErr 0x0 action 0x6 frozen", "device ata1.00"),
            ("ata3: hard resetting link", "device ata3"),
            ("ata3: link is slow to respond, please be patient (ready=0)", "device ata3"),
            ("ata1.00: failed command: READ FPDMA QUEUED", "device ata1.00"),
        ],
        near: &["ata1: SATA link up 6.0 Gbps (SStatus 133 SControl 300)", "ata1.00: configured for UDMA/133"],
    },
    Class {
        name: "nvme-failed",
        severity: Severity::Critical,
        doc: "An NVMe controller does not answer; the driver aborts requests, resets it, or gives it up. Often power saving \
              (`nvme_core.default_ps_max_latency_us=0`), firmware, or a dying device.",
        explains: DISK,
        rules: &[
            kernel("controller is down", r"^nvme (?P<device>nvme[0-9]+): controller is down; will reset"),
            kernel(
                "timeout, ",
                r"^nvme (?P<device>nvme[0-9]+): I/O (?:tag )?[0-9]+ .*timeout, (?:aborting|reset controller|disable controller|completion polled)",
            ),
            kernel(
                "Removing after probe failure",
                r"^nvme (?P<device>nvme[0-9]+): Removing after probe failure",
            ),
            kernel(
                "Disabling device after reset failure",
                r"^nvme (?P<device>nvme[0-9]+): Disabling device after reset failure",
            ),
            kernel("Device not ready", r"^nvme (?P<device>nvme[0-9]+): Device not ready; aborting "),
        ],
        examples: &[
            ("nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0x10", "device nvme0"),
            ("nvme nvme1: I/O 12 QID 3 timeout, aborting", "device nvme1"),
            (
                "nvme nvme0: I/O tag 832 (c340) opcode 0x2 (I/O Cmd) QID 7 timeout, aborting req_op:READ(0) size:65536",
                "device nvme0",
            ),
            ("nvme nvme2: Removing after probe failure status: -19", "device nvme2"),
            ("nvme nvme2: Disabling device after reset failure: -19", "device nvme2"),
            ("nvme nvme0: Device not ready; aborting reset, CSTS=0x1", "device nvme0"),
        ],
        near: &["nvme nvme0: 8/0/0 default/read/poll queues", "nvme nvme0: pci function 0000:01:00.0"],
    },
    Class {
        name: "scsi-error",
        severity: Severity::Error,
        doc: "A SCSI command failed, or a device was set offline. In a guest the storage behind the virtual disk is to be looked at.",
        explains: DISK,
        rules: &[
            kernel(
                "FAILED Result: ",
                r"^sd [0-9:]+: \[(?P<device>[a-z0-9]+)\] (?:tag#[0-9]+ )?FAILED Result: hostbyte=",
            ),
            kernel(
                "rejecting I/O to ",
                r"^(?:sd|sr) [0-9:]+: (?:\[(?P<device>[a-z0-9]+)\] )?rejecting I/O to (?:offline|dead) device",
            ),
            kernel(
                "Device offlined",
                r"^(?:sd|sr) (?P<device>[0-9:]+): Device offlined - not ready after error recovery",
            ),
        ],
        examples: &[
            (
                "sd 2:0:0:0: [sdc] tag#12 FAILED Result: hostbyte=DID_TIME_OUT driverbyte=DRIVER_OK cmd_age=180s",
                "device sdc",
            ),
            ("sd 2:0:0:0: [sdc] FAILED Result: hostbyte=DID_OK driverbyte=DRIVER_SENSE", "device sdc"),
            ("sd 2:0:0:0: [sdc] rejecting I/O to offline device", "device sdc"),
            ("sd 2:0:0:0: rejecting I/O to offline device", "host"),
            ("sd 4:0:0:0: Device offlined - not ready after error recovery", "device 4:0:0:0"),
        ],
        near: &["sd 2:0:0:0: [sdc] Attached SCSI disk"],
    },
    Class {
        name: "raid-degraded",
        severity: Severity::Critical,
        doc: "A member of an array has failed. The array goes on without redundancy: replace the member before the next one fails.",
        explains: &[Finding::DiskRead, Finding::DiskWrite, Finding::HostDisk],
        rules: &[
            kernel(
                "Disk failure on ",
                r"^md/raid[0-9]*:(?P<device>[^:]+): Disk failure on [^ ,]+, disabling device",
            ),
            kernel(
                "Operation continuing on",
                r"^md/raid[0-9]*:(?P<device>[^:]+): Operation continuing on [0-9]+ devices",
            ),
        ],
        examples: &[
            ("md/raid1:md0: Disk failure on sdb1, disabling device.", "device md0"),
            ("md/raid:md5: Disk failure on sdc, disabling device.", "device md5"),
            ("md/raid1:md0: Operation continuing on 1 devices.", "device md0"),
        ],
        near: &["md/raid1:md0: active with 2 out of 2 mirrors"],
    },
    Class {
        name: "path-failed",
        severity: Severity::Error,
        doc: "One of several paths to a disk failed. Requests take the others; with none left they queue or fail.",
        explains: DISK,
        rules: &[kernel(
            "Failing path",
            r"^device-mapper: multipath: (?:(?P<device>[0-9:]+): )?Failing path [0-9:]+",
        )],
        examples: &[
            ("device-mapper: multipath: 253:0: Failing path 8:16.", "device 253:0"),
            ("device-mapper: multipath: Failing path 8:32.", "host"),
        ],
        near: &["device-mapper: multipath: 253:0: Reinstating path 8:16."],
    },
];
