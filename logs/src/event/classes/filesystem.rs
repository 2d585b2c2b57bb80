//! File systems, of this host and of others.

use agent_common::wire::finding::Class as Finding;

use super::super::class::{Class, kernel};
use crate::Severity;

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "filesystem-read-only",
        severity: Severity::Critical,
        doc: "A file system was made read-only after an error, or shut down. All writes fail from now on. Unmount, check it, and look \
              for the disk's error before it.",
        explains: &[Finding::Refused, Finding::ErrorStorm, Finding::DiskWrite, Finding::Fsync],
        rules: &[
            kernel(
                "Remounting filesystem read-only",
                r"^(?:EXT[234]-fs|F2FS-fs|UDF-fs|NILFS) \((?:device )?(?P<filesystem>[^)]+)\): Remounting filesystem read-only",
            ),
            kernel(
                "forced readonly",
                r"^BTRFS (?:info|error|warning) \(device (?P<filesystem>[^) ]+)(?: state [A-Z]+)?\): forced readonly",
            ),
            kernel(
                "Shutting down|shut down|shutdown of",
                r"^XFS \((?P<filesystem>[^)]+)\): (?:.*Shutting down filesystem|Filesystem has been shut down|.*shutdown of filesystem)",
            ),
            kernel("set read-only", r"^FAT-fs \((?P<filesystem>[^)]+)\): Filesystem has been set read-only"),
            kernel("Aborting journal", r"^(?:JBD2: )?Aborting journal on device (?P<filesystem>[^ ]+?)\.?$"),
        ],
        examples: &[
            ("EXT4-fs (loop0): Remounting filesystem read-only", "filesystem loop0"),
            ("EXT4-fs (device sda2): Remounting filesystem read-only", "filesystem sda2"),
            ("BTRFS info (device sdb): forced readonly", "filesystem sdb"),
            ("BTRFS info (device dm-1 state EA): forced readonly", "filesystem dm-1"),
            ("XFS (dm-0): Log I/O Error Detected. Shutting down filesystem", "filesystem dm-0"),
            ("XFS (vdb): Filesystem has been shut down due to log error (0x2).", "filesystem vdb"),
            ("FAT-fs (sdc1): Filesystem has been set read-only", "filesystem sdc1"),
            ("Aborting journal on device sda1-8.", "filesystem sda1-8"),
        ],
        near: &[
            "EXT4-fs (vda): mounted filesystem 00000000-0000-0000-0000-000000000000 r/w without journal. Quota mode: none.",
            "EXT4-fs (vda): re-mounted. Opts: ro",
            "XFS (dm-0): Unmounting Filesystem",
        ],
    },
    Class {
        name: "filesystem-error",
        severity: Severity::Critical,
        doc: "A file system found its own structure damaged, or could not write it. Check it unmounted (`fsck`, `xfs_repair`, \
              `btrfs check`); look for the disk's error before it.",
        explains: &[Finding::ErrorStorm, Finding::DiskRead, Finding::DiskWrite],
        rules: &[
            kernel(
                "-fs error|-fs warning",
                r"^EXT[234]-fs (?:error|warning|panic) ?\(device (?P<filesystem>[^)]+)\):? (?:in )?(?:ext[234]|htree|__ext4|dx_|empty_dir|inode)",
            ),
            kernel(
                "XFS (",
                r"^XFS \((?P<filesystem>[^)]+)\): (?:.*[Cc]orruption (?:detected|of|warning)|Metadata (?:CRC error|corruption|I/O [Ee]rror)|Internal error|metadata I/O error|log (?:mount/)?recovery failed)",
            ),
            kernel(
                "BTRFS error|BTRFS crit|BTRFS: error|BTRFS: crit",
                r"^BTRFS(?::| )(?: ?error| ?critical| ?crit) \(device (?P<filesystem>[^) ]+)(?: state [A-Z]+)?\)",
            ),
            kernel(
                "F2FS-fs (",
                r"^F2FS-fs \((?P<filesystem>[^)]+)\): (?:inconsistent|invalid|access invalid|corrupted|Inconsistent)",
            ),
            kernel(
                "JBD2: ",
                r"^JBD2: (?:Detected IO errors while flushing file data on|Error -?[0-9]+ detected when updating journal superblock for) (?P<filesystem>[^ ]+?)\.?$",
            ),
            kernel("SQUASHFS error", r"^SQUASHFS error: "),
        ],
        examples: &[
            (
                "EXT4-fs error (device loop0): ext4_lookup:1855: inode #2: comm ls: deleted inode referenced: 12",
                "filesystem loop0",
            ),
            ("EXT4-fs error (device sda1) in ext4_reserve_inode_write:5842: IO failure", "filesystem sda1"),
            (
                "EXT4-fs warning (device dm-0): ext4_end_bio:348: I/O error 10 writing to inode 12 starting block 34)",
                "filesystem dm-0",
            ),
            (
                "XFS (sdb1): Metadata corruption detected at xfs_agi_verify+0x5c/0x180 [xfs], xfs_agi block 0x2",
                "filesystem sdb1",
            ),
            (
                "XFS (vda2): Metadata CRC error detected at xfs_agf_read_verify+0x9a/0xc0 [xfs], xfs_agf block 0x1",
                "filesystem vda2",
            ),
            (
                "BTRFS error (device sdc): bdev /dev/sdc errs: wr 0, rd 1, flush 0, corrupt 0, gen 0",
                "filesystem sdc",
            ),
            ("BTRFS critical (device dm-2 state A): corrupt leaf: root=2 block=30 slot=0", "filesystem dm-2"),
            (
                "F2FS-fs (sda3): inconsistent node block, nid:5, node_footer[nid:0,ino:0,ofs:0,cpver:0,blkaddr:0]",
                "filesystem sda3",
            ),
            ("SQUASHFS error: zlib decompression failed, data probably corrupt", "host"),
            ("JBD2: Detected IO errors while flushing file data on sda1-8", "filesystem sda1-8"),
        ],
        near: &[
            "EXT4-fs (sda1): recovery complete",
            "EXT4-fs (sda1): error count since last fsck: 3",
            "XFS (sda1): Mounting V5 Filesystem",
            "BTRFS info (device sda1): using crc32c",
        ],
    },
    Class {
        name: "data-corrupt",
        severity: Severity::Critical,
        doc: "A checksum of data does not fit what was read: the disk, the RAM or the path between has changed it. With redundancy \
              the file system repairs it, and says so.",
        explains: &[Finding::ErrorStorm],
        rules: &[
            kernel(
                "csum failed",
                r"^BTRFS warning \(device (?P<filesystem>[^) ]+)(?: state [A-Z]+)?\): csum failed root",
            ),
            kernel(
                "checksum error at",
                r"^BTRFS warning \(device (?P<filesystem>[^) ]+)(?: state [A-Z]+)?\): checksum error at logical",
            ),
            kernel(
                "is corrupted",
                r"^device-mapper: verity: (?P<device>[0-9:]+): (?:data|metadata) block [0-9]+ is corrupted",
            ),
        ],
        examples: &[
            (
                "BTRFS warning (device sda1): csum failed root 5 ino 257 off 0 csum 0x8941f998 expected csum 0x94ae2f11 mirror 1",
                "filesystem sda1",
            ),
            (
                "BTRFS warning (device sdb): checksum error at logical 30408704 on dev /dev/sdb, physical 30408704, root 5, inode 257",
                "filesystem sdb",
            ),
            ("device-mapper: verity: 254:0: data block 1 is corrupted", "device 254:0"),
        ],
        near: &["BTRFS warning (device sda1): block group 1 has wrong amount of free space"],
    },
    Class {
        name: "nfs-silent",
        severity: Severity::Error,
        doc: "A file server does not answer. With hard mounts every process that touches the mount waits until it does.",
        explains: &[Finding::Hang, Finding::NetPeer, Finding::DiskRead, Finding::DiskWrite],
        rules: &[
            kernel(
                "not responding",
                r"^(?:nfs: server|lockd: server|nfs4: server) (?P<server>[^ ]+) not responding, (?:still trying|timed out)",
            ),
            kernel(
                "has not responded",
                r"^CIFS: (?:VFS: )?(?:\\\\)?(?P<server>[^ ]+) has not responded in [0-9]+ seconds",
            ),
            kernel(
                "session lost",
                r"^(?:ceph: |libceph: )(?P<server>[^ ]+) .*session lost, hunting for new mon",
            ),
        ],
        examples: &[
            ("nfs: server files.example.com not responding, still trying", "server files.example.com"),
            ("nfs: server 10.0.0.5 not responding, timed out", "server 10.0.0.5"),
            (
                r"CIFS: VFS: \\nas.example.com has not responded in 180 seconds. Reconnecting...",
                "server nas.example.com",
            ),
            ("libceph: mon0 (1)10.0.0.7:6789 session lost, hunting for new mon", "server mon0"),
        ],
        near: &["nfs: server files.example.com OK"],
    },
];
