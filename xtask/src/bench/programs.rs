//! `bench unwind`, its last part: the whole host while Debian's own programs, built as distributions build them, are under load.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::daemon::Daemon;
use super::{Built, bar};
use crate::{apt, shell};
use anyhow::{Context, Result};

/// Only unpacked, below `target`: no service starts.
const UNPACKED: [&str; 4] = ["nginx-light", "wrk", "redis-server", "redis-tools"];

/// What runs, each as a line of a shell in a directory of its own. Servers come before their clients.
const LOAD: [(&str, &str); 7] = [
    ("nginx", "exec nginx -p $PWD -e errors -c nginx.conf"),
    ("redis-server", "exec redis-server --port 7011 --bind 127.0.0.1 --save ''"),
    ("wrk", "while :; do wrk -t 1 -c 8 -d 3600 http://127.0.0.1:7010/; sleep 1; done"),
    ("redis-benchmark", "while :; do redis-benchmark -p 7011 -n 1000000000 -q; sleep 1; done"),
    (
        "python3",
        "exec python3 -c 'import json, re\nwhile True: re.findall(\"[0-9]+\", json.dumps([{str(n): n} for n in range(999)]))'",
    ),
    ("git", "while :; do git -C \"$ROOT\" log --patch --max-count 300 > /dev/null; done"),
    ("gcc", "while :; do cc -O2 -c ../bench-unwind/deep.c -o deep.o; done"),
];

/// Until the clients have found their servers, and the agent has started.
const SETTLE: Duration = Duration::from_secs(10);
/// For so long they are looked at.
const SPAN: Duration = Duration::from_secs(30);

const NGINX: &str = "daemon off; worker_processes 1; pid nginx.pid; error_log errors; user root;
events { worker_connections 256; }
http { access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
uwsgi_temp_path uwsgi; scgi_temp_path scgi; server { listen 127.0.0.1:7010; root .; } }
";

pub(super) fn run(built: &Built) -> Result<()> {
    apt::install_missing(&[("cc", "gcc"), ("python3", "python3"), ("git", "git")])?;
    let tools = apt::unpack(&UNPACKED, &shell::root().join("target/tools-programs"))?;
    let dir = shell::root().join("target/bench-programs");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("nginx.conf"), NGINX)?;
    fs::write(dir.join("index.html"), vec![b'x'; 8192])?;
    let load =
        LOAD.iter().map(|(name, line)| Group::start(name, line, &tools, &dir)).collect::<Result<Vec<_>>>()?;
    let daemon = Daemon::start(built, "bench-programs-agent")?;
    std::thread::sleep(SETTLE + SPAN);
    let report = daemon.report(SPAN)?;
    drop(load);
    let unwound = report["coverage"]["unwound"].as_object().context("the report has no stacks")?;
    let counts: Vec<(&String, f64)> =
        unwound.iter().map(|(name, count)| (name, count.as_f64().unwrap_or(0.0))).collect();
    let all: f64 = counts.iter().map(|(_, count)| count).sum();
    println!(
        "\n{} under load: how the walks up {all:.0} user stacks ended",
        LOAD.map(|(name, _)| name).join(", ")
    );
    for (name, count) in &counts {
        println!("{name:<22}{:>10.2} %", 100.0 * count / all);
    }
    let whole: f64 = counts
        .iter()
        .filter(|(name, _)| matches!(name.as_str(), "complete" | "frame_pointers"))
        .map(|(_, count)| count)
        .sum();
    bar("% of stacks cut", 100.0 - 100.0 * whole / all, 2.0);
    Ok(())
}

/// A shell and all that it starts.
struct Group {
    name: &'static str,
    child: Child,
}

impl Group {
    fn start(name: &'static str, line: &str, tools: &Path, dir: &Path) -> Result<Self> {
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("sh")
            .args(["-c", line])
            .current_dir(dir)
            .env("ROOT", shell::root())
            .env("PATH", format!("{0}/usr/sbin:{0}/usr/bin:{path}", tools.display()))
            .env("LD_LIBRARY_PATH", tools.join("usr/lib/x86_64-linux-gnu"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            eprintln!("{} ended early with {status}: it is not in these figures", self.name);
        }
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}
