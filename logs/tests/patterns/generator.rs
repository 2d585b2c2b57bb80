//! Lines of log statements whose number travels beside the line, as a program would pass it out of band.
//!
//! A statement is a line of a text file: `{kind}` is a parameter, `[[…]]` is there half of the time, `# name` begins a program.

use std::fmt::Write as _;

/// A statement of a program.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) program: usize,
    pub(crate) text: &'static str,
}

/// The statements of a file.
pub(crate) fn statements(file: &'static str) -> Vec<Statement> {
    let mut program = 0;
    let mut found = Vec::new();
    for line in file.lines() {
        if line.starts_with("# ") {
            program += 1;
        } else if !line.is_empty() {
            found.push(Statement { program, text: line });
        }
    }
    found
}

/// Numbers that look random and are the same in each run (xorshift64*).
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }
}

const USERS: &[&str] = &[
    "alice",
    "bob",
    "carol",
    "dave",
    "root",
    "postgres",
    "www-data",
    "deploy",
    "jenkins",
    "mallory",
    "trent",
    "svc_backup",
    "oscar",
    "peggy",
    "victor",
    "ubuntu",
    "admin",
    "guest",
    "user17",
    "j.doe",
    "nina",
    "otto",
    "paul",
    "quentin",
];
const WORDS: &[&str] = &[
    "alpha",
    "billing",
    "cache",
    "delta",
    "export",
    "frontend",
    "gateway",
    "import",
    "journal",
    "kernel",
    "ledger",
    "metrics",
    "nightly",
    "orders",
    "primary",
    "queue",
    "replica",
    "search",
    "thumbnails",
    "uploads",
    "video",
    "watchdog",
    "archive",
];
const STATES: &[&str] = &["running", "stopped", "failed", "degraded", "idle"];
const CITIES: &[&str] =
    &["Berlin", "Paris", "New York", "Rio de Janeiro", "Oslo", "Tokyo", "San Francisco", "Lima"];
const ERRNO: &[&str] = &[
    "No such file or directory",
    "Permission denied",
    "Connection refused",
    "Address already in use",
    "No space left on device",
    "Connection reset by peer",
    "Resource temporarily unavailable",
    "Input/output error",
    "Too many open files",
];
const HOST_HEADS: &[&str] = &["web", "db", "cache", "node", "mail", "build", "edge", "ns"];
const EXTENSIONS: &[&str] = &["txt", "csv", "log", "tar.gz", "json", "pdf", "jpg", "conf"];
const MONTHS: &[&str] = &["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "curl/8.5.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "kube-probe/1.29",
    "-",
];

/// The line of a statement, with its parameters chosen.
pub(crate) fn line(statement: &'static str, random: &mut Random) -> String {
    let mut out = String::new();
    expand(statement, random, &mut out);
    out
}

fn expand(text: &str, random: &mut Random, out: &mut String) {
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("[[")
            && let Some(mut end) = inner.find("]]")
        {
            while inner[end + 2..].starts_with(']') {
                end += 1;
            }
            if random.below(2) == 0 {
                expand(&inner[..end], random, out);
            }
            rest = &inner[end + 2..];
            continue;
        }
        if let Some(inner) = rest.strip_prefix('{')
            && let Some(end) = inner.find('}')
            && parameter(&inner[..end], random, out)
        {
            rest = &inner[end + 1..];
            continue;
        }
        let next = rest[1..].find(['{', '[']).map_or(rest.len(), |at| at + 1);
        out.push_str(&rest[..next]);
        rest = &rest[next..];
    }
}

fn hex(random: &mut Random, digits: usize) -> String {
    (0..digits).map(|_| char::from(b"0123456789abcdef"[random.below(16) as usize])).collect()
}

fn words(random: &mut Random, from: u64, to: u64) -> String {
    let count = from + random.below(to - from + 1);
    (0..count).map(|_| random.pick(WORDS)).collect::<Vec<_>>().join(" ")
}

fn join(random: &mut Random, most: u64, mut one: impl FnMut(&mut Random) -> String) -> String {
    let count = 1 + random.below(most);
    (0..count).map(|_| one(random)).collect::<Vec<_>>().join(", ")
}

fn path(random: &mut Random) -> String {
    let mut path = String::new();
    for _ in 0..=random.below(4) {
        let _ = write!(path, "/{}", random.pick(WORDS));
    }
    if random.below(2) == 0 {
        let _ = write!(path, "/{}.{}", random.below(10_000), random.pick(EXTENSIONS));
    }
    path
}

fn clock(random: &mut Random) -> String {
    format!("{:02}:{:02}:{:02}", random.below(24), random.below(60), random.below(60))
}

/// A value of this kind; false if there is no such kind.
#[expect(clippy::too_many_lines, reason = "one arm a kind of parameter")]
fn parameter(kind: &str, r: &mut Random, out: &mut String) -> bool {
    let text = match kind {
        "int" => {
            let digits = r.below(7);
            r.below(10_u64.pow(digits as u32 + 1)).to_string()
        }
        "small" => r.below(12).to_string(),
        "pid" => (300 + r.below(60_000)).to_string(),
        "port" => (1_024 + r.below(60_000)).to_string(),
        "status" => {
            r.pick(&["200", "201", "204", "301", "304", "400", "403", "404", "500", "502", "503"]).to_owned()
        }
        "float" => format!("{}.{:03}", r.below(1_000), r.below(1_000)),
        "pct" => format!("{}%", r.below(100)),
        "hex" => {
            let digits = 8 + r.below(9) as usize;
            hex(r, digits)
        }
        "hex4" => hex(r, 4),
        "sha" => hex(r, 40),
        "uuid" => format!("{}-{}-4{}-a{}-{}", hex(r, 8), hex(r, 4), hex(r, 3), hex(r, 3), hex(r, 12)),
        "ip" => format!("{}.{}.{}.{}", 1 + r.below(223), r.below(256), r.below(256), r.below(256)),
        "ip6" => format!("fe80::{}:{}:{}", hex(r, 4), hex(r, 3), hex(r, 4)),
        "mac" => (0..6).map(|_| hex(r, 2)).collect::<Vec<_>>().join(":"),
        "path" => path(r),
        "file" => format!("{}{}.{}", r.pick(WORDS), r.pick(&["", "-2", "_old", "7"]), r.pick(EXTENSIONS)),
        "host" => match r.below(3) {
            0 => format!("{}{}", r.pick(HOST_HEADS), r.below(30)),
            1 => format!("{}{}.example.com", r.pick(HOST_HEADS), r.below(30)),
            _ => format!("{}.internal", r.pick(HOST_HEADS)),
        },
        "url" => format!(
            "http://{}{}.example.com:{}{}",
            r.pick(HOST_HEADS),
            r.below(9),
            80 + r.below(9_000),
            path(r)
        ),
        "email" => format!("{}@{}.example.org", r.pick(USERS), r.pick(HOST_HEADS)),
        "user" => r.pick(USERS).to_owned(),
        "webuser" => r.pick(&["-", "-", "-", "alice", "bob"]).to_owned(),
        "word" => r.pick(WORDS).to_owned(),
        "ident" => match r.below(3) {
            0 => r.pick(WORDS).to_owned(),
            1 => format!("{}_{}", r.pick(WORDS), r.pick(WORDS)),
            _ => format!("{}-{}", r.pick(WORDS), r.below(100)),
        },
        "phrase" => words(r, 1, 6),
        "quoted" => format!("\"{}\"", words(r, 1, 4)),
        "list" => join(r, 6, |r| r.pick(WORDS).to_owned()),
        "nums" => join(r, 4, |r| r.below(20).to_string()).replace(", ", ","),
        "names" => join(r, 4, |r| r.pick(USERS).to_owned()),
        "state" => r.pick(STATES).to_owned(),
        "city" => r.pick(CITIES).to_owned(),
        "carrier" => r.pick(&["DHL", "UPS", "FedEx", "Hermes", "DPD", "GLS"]).to_owned(),
        "reason" => r
            .pick(&[
                "too old",
                "wrong password",
                "account locked",
                "not found",
                "second factor missing",
                "expired",
            ])
            .to_owned(),
        "target" => r.pick(&["disk", "replicas sockets"]).to_owned(),
        "monster" => r.pick(&["Zombie", "Skeleton", "Creeper", "Spider", "Enderman", "Witch"]).to_owned(),
        "pgflags" => {
            r.pick(&["time", "wal", "immediate force wait", "force wait", "shutdown immediate"]).to_owned()
        }
        "rcmd" => r.pick(&["get", "set", "hgetall", "subscribe"]).to_owned(),
        "smtp" => r.pick(&["RCPT", "DATA", "AUTH", "EHLO", "CONNECT", "STARTTLS"]).to_owned(),
        "proto" => r.pick(&["TCP", "UDP"]).to_owned(),
        "errno" => r.pick(ERRNO).to_owned(),
        "health" => r.pick(&["GREEN", "YELLOW", "RED"]).to_owned(),
        "testresult" => r.pick(&["ok", "FAILED", "ignored"]).to_owned(),
        "taskstate" => r.pick(&["SUCCESS", "FAILED", "UP_FOR_RETRY", "SKIPPED"]).to_owned(),
        "consumable" => r.pick(&["paper", "toner", "staples"]).to_owned(),
        "bool" => r.pick(&["true", "false"]).to_owned(),
        "method" => r.pick(&["GET", "POST", "PUT", "DELETE", "HEAD"]).to_owned(),
        "iface" => r.pick(&["eth0", "eth1", "enp3s0", "wlan0", "br-lan", "docker0"]).to_owned(),
        "dev" => r.pick(&["sda", "sda1", "sdb", "nvme0n1", "dm-0", "vdb"]).to_owned(),
        "lib" => r.pick(&["libc.so.6", "libssl.so.3", "app", "libpython3.11.so.1.0"]).to_owned(),
        "unit" => format!("{}{}", r.pick(WORDS), r.pick(&[".service", ".timer", "@1.service", ".socket"])),
        "thread" => match r.below(3) {
            0 => "main".to_owned(),
            1 => format!("http-nio-8080-exec-{}", r.below(20)),
            _ => format!("pool-{}-thread-{}", r.below(4), r.below(9)),
        },
        "jexc" => r
            .pick(&[
                "java.lang.NullPointerException",
                "java.io.IOException",
                "java.sql.SQLException",
                "java.lang.IllegalStateException",
            ])
            .to_owned(),
        "pyexc" => {
            format!("{}('{}')", r.pick(&["KeyError", "ValueError", "TimeoutError", "OSError"]), r.pick(WORDS))
        }
        "pyvalue" => match r.below(4) {
            0 => "None".to_owned(),
            1 => r.below(1_000).to_string(),
            2 => format!("'{}'", words(r, 1, 3)),
            _ => format!("{{'rows': {}, 'state': '{}'}}", r.below(100), r.pick(STATES)),
        },
        "pgparams" => join(r, 5, |r| format!("${} = '{}'", 1 + r.below(5), words(r, 1, 2))),
        "query" => match r.below(4) {
            0 => format!("SELECT * FROM {} WHERE id = {}", r.pick(WORDS), r.below(10_000)),
            1 => format!(
                "UPDATE {} SET name = '{}' WHERE id IN ({})",
                r.pick(WORDS),
                words(r, 1, 3),
                r.below(99)
            ),
            2 => format!(
                "INSERT INTO {} ({}) VALUES ($1, $2)",
                r.pick(WORDS),
                join(r, 4, |r| r.pick(WORDS).to_owned())
            ),
            _ => format!("select count(*) from {} join {} using (id)", r.pick(WORDS), r.pick(WORDS)),
        },
        "image" => {
            format!("registry.example.com/{}/{}:{}.{}", r.pick(WORDS), r.pick(WORDS), r.below(9), r.below(30))
        }
        "version" => format!("{}.{}.{}", r.below(9), r.below(20), r.below(20)),
        "size" => format!("{}{}", r.below(1_000), r.pick(&["K", "MB", " KiB", " MB", ".5 GB", " bytes"])),
        "dur" => match r.below(4) {
            0 => format!("{}ms", r.below(1_000)),
            1 => format!("{} seconds", r.below(60)),
            2 => format!("{}m{}s", r.below(60), r.below(60)),
            _ => format!("{}.{} s", r.below(10), r.below(10)),
        },
        "agent" => r.pick(AGENTS).to_owned(),
        "referrer" => match r.below(2) {
            0 => "-".to_owned(),
            _ => format!("https://example.com{}", path(r)),
        },
        "clock" => format!("{}.{:03}", clock(r), r.below(1_000)),
        "clf" => format!("[{:02}/{}/2026:{} +0000]", 1 + r.below(28), r.pick(MONTHS), clock(r)),
        "ngtime" => format!("2026/{:02}/{:02} {}", 1 + r.below(12), 1 + r.below(28), clock(r)),
        "rdtime" => {
            format!("{:02} {} 2026 {}.{:03}", 1 + r.below(28), r.pick(MONTHS), clock(r), r.below(1_000))
        }
        "pgtime" => format!(
            "2026-{:02}-{:02} {}.{:03} UTC",
            1 + r.below(12),
            1 + r.below(28),
            clock(r),
            r.below(1_000)
        ),
        "jtime" | "pytime" => {
            format!("2026-{:02}-{:02} {},{:03}", 1 + r.below(12), 1 + r.below(28), clock(r), r.below(1_000))
        }
        "iso" => {
            format!("2026-{:02}-{:02}T{}.{:03}Z", 1 + r.below(12), 1 + r.below(28), clock(r), r.below(1_000))
        }
        "mmdd" => format!("{:02}{:02}", 1 + r.below(12), 1 + r.below(28)),
        "systime" => format!("{} {:2} {}", r.pick(MONTHS), 1 + r.below(28), clock(r)),
        _ => return false,
    };
    out.push_str(&text);
    true
}
