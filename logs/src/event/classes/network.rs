//! Links and the network's tables.

use agent_common::wire::finding::Class as Finding;

use super::super::class::{Class, kernel};
use crate::Severity;

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "link-down",
        severity: Severity::Warning,
        doc: "An interface lost its link: cable, switch, or somebody took it down.",
        explains: &[Finding::HostNetwork, Finding::NetConnect, Finding::NetPeer, Finding::NetRetransmit],
        rules: &[
            kernel(
                "ink is |ink down|ink Down",
                r"^(?:[a-z0-9_-]+ [^ ]+ )?(?P<interface>[^ :]{1,15}): (?:[a-z0-9_]+: [^ ]+ )?(?:NIC |NIC Copper )?[Ll]ink (?:is )?[Dd]own\b",
            ),
            kernel(
                "link status definitely down",
                r"^(?:[^ ]+: )?\(slave (?P<interface>[^ )]{1,15})\): link status definitely down",
            ),
        ],
        examples: &[
            ("e1000e 0000:00:19.0 eth0: NIC Link is Down", "interface eth0"),
            ("igb 0000:03:00.0 enp3s0: igb: enp3s0 NIC Link is Down", "interface enp3s0"),
            ("r8169 0000:02:00.0 eth1: Link is Down", "interface eth1"),
            ("tg3 0000:04:00.0 eno1: Link is down", "interface eno1"),
            ("bond0: (slave eth1): link status definitely down, disabling slave", "interface eth1"),
        ],
        near: &[
            "ata1: SATA link down (SStatus 0 SControl 300)",
            "pcieport 0000:00:01.0: Data Link Layer Link Active",
        ],
    },
    Class {
        name: "link-up",
        severity: Severity::Info,
        doc: "An interface has its link. Compare the speed with what it should be: a bad cable falls back to 100 Mbps.",
        explains: &[Finding::HostNetwork],
        rules: &[
            kernel(
                "ink is |ink up|ink Up",
                r"^(?:[a-z0-9_-]+ [^ ]+ )?(?P<interface>[^ :]{1,15}): (?:[a-z0-9_]+: [^ ]+ )?(?:NIC |NIC Copper )?[Ll]ink (?:is )?[Uu]p\b",
            ),
            kernel(
                "link status definitely up",
                r"^(?:[^ ]+: )?\(slave (?P<interface>[^ )]{1,15})\): link status definitely up",
            ),
            kernel(
                "link becomes ready",
                r"^IPv6: ADDRCONF\(NETDEV_CHANGE\): (?P<interface>[^ :]{1,15}): link becomes ready",
            ),
        ],
        examples: &[
            (
                "e1000e 0000:00:19.0 eth0: NIC Link is Up 1000 Mbps Full Duplex, Flow Control: Rx/Tx",
                "interface eth0",
            ),
            ("tg3 0000:04:00.0 eno1: Link is up at 1000 Mbps, full duplex", "interface eno1"),
            ("bond0: (slave eth1): link status definitely up, 1000 Mbps full duplex", "interface eth1"),
            ("IPv6: ADDRCONF(NETDEV_CHANGE): veth12ab: link becomes ready", "interface veth12ab"),
        ],
        near: &["ata1: SATA link up 6.0 Gbps (SStatus 133 SControl 300)", "eth0: Setting link uplink mode"],
    },
    Class {
        name: "network-card-stuck",
        severity: Severity::Error,
        doc: "A network card has not sent for seconds though packets wait; the driver resets it. Connections stall meanwhile. Driver, \
              firmware or hardware.",
        explains: &[Finding::HostNetwork, Finding::NetRetransmit, Finding::NetPeer],
        rules: &[
            kernel(
                "NETDEV WATCHDOG: ",
                r"^NETDEV WATCHDOG: (?P<interface>[^ :]{1,15}) \([^)]*\): transmit queue [0-9]+ timed out",
            ),
            kernel(
                "NETDEV WATCHDOG: ",
                r"^(?:[a-z0-9_-]+ )?[^ ]+ (?P<interface>[^ :]{1,15}): NETDEV WATCHDOG: CPU: [0-9]+: transmit queue [0-9]+ timed out",
            ),
        ],
        examples: &[
            ("NETDEV WATCHDOG: eth0 (e1000e): transmit queue 0 timed out", "interface eth0"),
            (
                "e1000e 0000:00:19.0 eth0: NETDEV WATCHDOG: CPU: 1: transmit queue 0 timed out 6720 ms",
                "interface eth0",
            ),
        ],
        near: &["NETDEV WATCHDOG: armed"],
    },
    Class {
        name: "network-device-held",
        severity: Severity::Error,
        doc: "An interface cannot be removed, because something holds a reference to it. Removing namespaces, and with them \
              containers, hangs until it is let go.",
        explains: &[Finding::Hang, Finding::KernelLock],
        rules: &[kernel(
            "unregister_netdevice: waiting",
            r"^unregister_netdevice: waiting for (?P<interface>[^ ]{1,15}) to become free",
        )],
        examples: &[
            ("unregister_netdevice: waiting for lo to become free. Usage count = 1", "interface lo"),
            ("unregister_netdevice: waiting for veth1 to become free. Usage count = 3", "interface veth1"),
        ],
        near: &["unregister_netdevice: waiting"],
    },
    Class {
        name: "conntrack-full",
        severity: Severity::Error,
        doc: "The table of tracked connections is full: packets of new connections are dropped. Raise \
              `net.netfilter.nf_conntrack_max`, shorten its timeouts, or do not track what needs none.",
        explains: &[Finding::TableFull, Finding::NetConnect, Finding::HostNetwork],
        rules: &[kernel(
            "table full",
            r"^(?:nf_conntrack: |ip_conntrack: )?(?P<table>nf_conntrack|ip_conntrack)(?:: |.*: )(?:expectation )?table full(?:, dropping packet|:?)",
        )],
        examples: &[
            ("nf_conntrack: nf_conntrack: table full, dropping packet", "table nf_conntrack"),
            ("nf_conntrack: table full, dropping packet", "table nf_conntrack"),
        ],
        near: &["nf_conntrack version 0.5.0 (65536 buckets, 262144 max)"],
    },
    Class {
        name: "neighbour-table-full",
        severity: Severity::Error,
        doc: "The table of neighbours' hardware addresses is full: hosts on the same network cannot be reached. Raise \
              `net.ipv4.neigh.default.gc_thresh3`.",
        explains: &[Finding::TableFull, Finding::NetConnect, Finding::HostNetwork],
        rules: &[kernel(
            "able overflow",
            r"^(?:neighbour: |net_ratelimit: )?(?P<table>[a-z_]+)?:? ?(?:[Nn]eighbou?r) table overflow!?",
        )],
        examples: &[
            ("neighbour: arp_cache: neighbor table overflow!", "table arp_cache"),
            ("neighbour: ndisc_cache: neighbor table overflow!", "table ndisc_cache"),
        ],
        near: &["hash table overflow is unlikely"],
    },
    Class {
        name: "tcp-memory-full",
        severity: Severity::Error,
        doc: "TCP has used the memory that `net.ipv4.tcp_mem` allows: it drops data and connections. Look for sockets whose reader \
              does not read, then raise the limit.",
        explains: &[Finding::TableFull, Finding::NetRetransmit, Finding::HostNetwork],
        rules: &[
            kernel("consider tuning tcp_mem", r"^TCP: out of memory -- consider tuning tcp_mem"),
            kernel("too many orphaned sockets", r"^TCP: too many orphaned sockets"),
        ],
        examples: &[
            ("TCP: out of memory -- consider tuning tcp_mem", "host"),
            ("TCP: too many orphaned sockets", "host"),
        ],
        near: &["TCP: Hash tables configured (established 8192 bind 8192)"],
    },
    Class {
        name: "syn-flood",
        severity: Severity::Warning,
        doc: "More connections arrive at a port than its program accepts, and the queue of half-open ones is full. An attack, or a \
              program that is too slow or has too short a backlog.",
        explains: &[Finding::NetAcceptQueue, Finding::NetConnect],
        rules: &[kernel(
            "Possible SYN flooding",
            r"^(?:TCP|MPTCP)(?:: request_sock_[A-Za-z0-9]+|: request_sock_subflow(?:_v[46])?)?: Possible SYN flooding on port (?P<port>[0-9a-f.:\[\]]+?)\.(?: |$)",
        )],
        examples: &[
            (
                "TCP: request_sock_TCP: Possible SYN flooding on port 8080. Sending cookies.  Check SNMP counters.",
                "port 8080",
            ),
            (
                "TCP: request_sock_TCP: Possible SYN flooding on port 0.0.0.0:443. Dropping request.  Check SNMP counters.",
                "port 0.0.0.0:443",
            ),
            (
                "TCP: request_sock_TCPv6: Possible SYN flooding on port [::]:22. Sending cookies.",
                "port [::]:22",
            ),
        ],
        near: &["TCP: Possible SYN flooding"],
    },
];
