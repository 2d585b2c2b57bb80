//! CPU time for a line of text: split, time, severity, fields, record; then the same with joining, and with redaction. Lines of a few
//! formats, as a host has them; five runs each.

use std::fmt::Write as _;

use agent_common::units::UnixNs;
use logs::parse::multiline::Joiner;
use logs::parse::{Clock, Splitter, line, redact, text};

const LINES: usize = 200_000;

fn lines_of(format: &str) -> String {
    let mut all = String::new();
    for n in 0..LINES {
        let (ms, ip) = (n % 1000, n % 251);
        let _ = match format {
            "plain" => writeln!(all, "request {n} from 10.0.0.{ip} took {ms} ms, served from cache"),
            "iso" => writeln!(
                all,
                "2026-11-30 12:00:00.{ms:03} INFO  [main] c.e.App - request {n} from 10.0.0.{ip} took {ms} ms"
            ),
            "syslog" => writeln!(
                all,
                "Nov 30 12:00:00 web1 sshd[{n}]: Accepted publickey for bob from 10.0.0.{ip} port {n} ssh2"
            ),
            "access" => {
                writeln!(
                    all,
                    "10.0.0.{ip} - - [30/Nov/2026:12:00:00 +0000] \"GET /a/{n} HTTP/1.1\" 200 {ms} \"-\" \"curl/8\""
                )
            }
            "logfmt" => writeln!(
                all,
                "time=2026-11-30T12:00:00Z level=info msg=\"request done\" n={n} took={ms}ms path=/a/{n}"
            ),
            _ => writeln!(
                all,
                "{{\"time\":\"2026-11-30T12:00:00Z\",\"level\":\"info\",\"msg\":\"done\",\"n\":{n},\"o\":{{\"ms\":{ms}}}}}"
            ),
        };
    }
    all
}

fn main() {
    let clock = Clock { now: UnixNs(1_796_040_000_000_000_000), utc_offset_s: 0 };
    for format in ["plain", "iso", "syslog", "access", "logfmt", "json"] {
        let all = lines_of(format);
        let mut best = [f64::MAX; 3];
        for _ in 0..5 {
            for (stage, best) in best.iter_mut().enumerate() {
                let start = cpu_ns();
                let mut splitter = Splitter::new(0);
                let mut joiner = Joiner::default();
                let mut bytes = 0;
                for chunk in all.as_bytes().chunks(64 << 10) {
                    splitter.feed(chunk, 0, |raw| {
                        let text = text(raw.bytes);
                        let parsed = line(&text, &clock);
                        let is_headed = parsed.is_headed;
                        let record = parsed.into_record(clock.now, raw.offset);
                        match stage {
                            0 => bytes += record.message.len(),
                            1 => joiner
                                .feed(0, record, is_headed, 0, |_, record| bytes += record.message.len()),
                            _ => bytes += redact(&record.message).len(),
                        }
                    });
                }
                std::hint::black_box(bytes);
                *best = best.min((cpu_ns() - start) as f64 / LINES as f64);
            }
        }
        let [parsed, joined, redacted] = best;
        println!(
            "{format:7} {parsed:5.0} ns a line; with joining {joined:5.0}; with redaction {redacted:5.0} (best of 5)"
        );
    }
}

/// What this thread has run so far: wall time would have that of others in it.
fn cpu_ns() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a kernel with schedstat");
    schedstat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}
