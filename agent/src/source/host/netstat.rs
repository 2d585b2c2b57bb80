//! Protocols and sockets of the agent's network namespace: `/proc/net/{snmp,netstat,sockstat}`.

use diagnosis::window::NetStats;

use super::read_all;
use crate::source::delta::delta;

/// A field of the statistics.
type Field = fn(&mut NetStats) -> &mut u64;
/// Counters, as they stand.
type Counters = [u64; COUNTERS.len()];

/// What is taken of `snmp` and `netstat`: protocol, name, where it goes.
#[rustfmt::skip]
const COUNTERS: [(&str, &str, Field); 19] = [
    ("Tcp", "ActiveOpens", |net| &mut net.tcp_active_opens),
    ("Tcp", "PassiveOpens", |net| &mut net.tcp_passive_opens),
    ("Tcp", "AttemptFails", |net| &mut net.tcp_attempt_fails),
    ("Tcp", "InSegs", |net| &mut net.tcp_in_segments),
    ("Tcp", "OutSegs", |net| &mut net.tcp_out_segments),
    ("Tcp", "RetransSegs", |net| &mut net.tcp_retransmits),
    ("Tcp", "InErrs", |net| &mut net.tcp_in_errors),
    ("Tcp", "OutRsts", |net| &mut net.tcp_out_resets),
    ("TcpExt", "ListenOverflows", |net| &mut net.tcp_listen_overflows),
    ("TcpExt", "ListenDrops", |net| &mut net.tcp_listen_drops),
    ("TcpExt", "TCPTimeouts", |net| &mut net.tcp_timeouts),
    ("Udp", "InDatagrams", |net| &mut net.udp_in_datagrams),
    ("Udp", "OutDatagrams", |net| &mut net.udp_out_datagrams),
    ("Udp", "InErrors", |net| &mut net.udp_in_errors),
    ("Udp", "NoPorts", |net| &mut net.udp_no_ports),
    ("Udp", "RcvbufErrors", |net| &mut net.udp_receive_buffer_errors),
    ("Udp", "SndbufErrors", |net| &mut net.udp_send_buffer_errors),
    ("IpExt", "InOctets", |net| &mut net.ip_in_bytes),
    ("IpExt", "OutOctets", |net| &mut net.ip_out_bytes),
];

/// Calls with protocol, name and value of each pair of lines (`Tcp: names`, `Tcp: values`).
fn pairs<'a>(text: &'a str, mut each: impl FnMut(&'a str, &'a str, &'a str)) {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (Some((protocol, names)), Some((_, values))) = (names.split_once(": "), values.split_once(": "))
        else {
            continue;
        };
        names.split(' ').zip(values.split(' ')).for_each(|(name, value)| each(protocol, name, value));
    }
}

fn take(text: &str, counters: &mut Counters, levels: &mut NetStats) {
    pairs(text, |protocol, name, value| {
        if (protocol, name) == ("Tcp", "CurrEstab") {
            levels.tcp_established = value.parse().unwrap_or(0);
        }
        if let Some(at) = COUNTERS.iter().position(|(of, known, _)| (*of, *known) == (protocol, name)) {
            counters[at] = value.parse().unwrap_or(0);
        }
    });
}

/// `TCP: inuse 5 orphan 0 tw 3 alloc 7 mem 1`
fn sockets(text: &str, page: u64, levels: &mut NetStats) {
    for line in text.lines() {
        let Some((protocol, rest)) = line.split_once(": ") else { continue };
        let words: Vec<&str> = rest.split(' ').collect();
        let of = |name: &str| {
            let at = words.iter().position(|word| *word == name);
            at.and_then(|at| words.get(at + 1)?.parse::<u64>().ok()).unwrap_or(0)
        };
        match protocol {
            "sockets" => levels.sockets = of("used"),
            "TCP" => {
                levels.tcp_in_use = of("inuse");
                levels.tcp_orphans = of("orphan");
                levels.tcp_time_wait = of("tw");
                levels.tcp_allocated = of("alloc");
                levels.tcp_memory_bytes = of("mem") * page;
            }
            "UDP" => {
                levels.udp_in_use = of("inuse");
                levels.udp_memory_bytes = of("mem") * page;
            }
            _ => {}
        }
    }
}

/// Reads the files and keeps the last counters.
#[derive(Debug, Default)]
pub(super) struct NetReader {
    buffer: String,
    last: Option<Counters>,
}

impl NetReader {
    pub(super) fn read(&mut self) -> procfs::ProcResult<NetStats> {
        let mut stats = NetStats::default();
        let mut now = Counters::default();
        for path in ["/proc/net/snmp", "/proc/net/netstat"] {
            take(read_all(path, &mut self.buffer)?, &mut now, &mut stats);
        }
        sockets(read_all("/proc/net/sockstat", &mut self.buffer)?, procfs::page_size(), &mut stats);
        let last = self.last.replace(now).unwrap_or(now);
        for ((_, _, field), (now, last)) in COUNTERS.iter().zip(now.into_iter().zip(last)) {
            *field(&mut stats) = delta(now, last);
        }
        Ok(stats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_protocol_and_name() {
        let text = "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: RtoAlgorithm MaxConn ActiveOpens CurrEstab RetransSegs\n\
                    Tcp: 1 -1 10 4 7\nUdp: InDatagrams NoPorts\nUdp: 5 6\nodd\n";
        let (mut counters, mut levels) = (Counters::default(), NetStats::default());
        take(text, &mut counters, &mut levels);
        let of = |protocol: &str, name: &str| {
            counters[COUNTERS.iter().position(|(of, known, _)| (*of, *known) == (protocol, name)).unwrap()]
        };
        assert_eq!((of("Tcp", "ActiveOpens"), of("Tcp", "RetransSegs"), of("Udp", "NoPorts")), (10, 7, 6));
        assert_eq!(levels.tcp_established, 4);
        sockets(
            "sockets: used 30\nTCP: inuse 5 orphan 1 tw 3 alloc 7 mem 2\nUDP: inuse 2 mem 1\nRAW: inuse 0\n",
            4096,
            &mut levels,
        );
        assert_eq!(
            (levels.sockets, levels.tcp_in_use, levels.tcp_time_wait, levels.udp_in_use),
            (30, 5, 3, 2)
        );
        assert_eq!((levels.tcp_memory_bytes, levels.udp_memory_bytes), (8192, 4096));
    }

    #[test]
    fn connections_of_this_process_are_counted() {
        let mut reader = NetReader::default();
        reader.read().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept: Vec<_> = (0..5).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let stats = reader.read().unwrap();
        assert!(stats.tcp_active_opens >= 5 && stats.tcp_passive_opens >= 5, "{stats:?}");
        assert!(stats.tcp_in_use > 0 && stats.sockets > kept.len() as u64, "{stats:?}");
    }
}
