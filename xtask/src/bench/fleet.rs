//! `bench fleet`: simulated hosts, a window a second each, through Mosquitto: with one ingester into the embedded store, and
//! with two ingesters on a shared subscription into VictoriaMetrics, one of which is killed and started again.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Built, bar, proc};
use crate::{shell, test};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Hosts
    #[arg(long, default_value_t = 200)]
    hosts: u32,
    /// Seconds of each of the two parts
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Processes a host: points of six values
    #[arg(long, default_value_t = 20)]
    processes: u32,
}

/// Most time from the end of a window until the collector knows that it is stored: 99 of 100 windows.
const LAG_P99_MS: f64 = 2000.0;
/// Longest time until VictoriaMetrics shows what it has taken: twice what it says of itself (`-search.latencyOffset`).
const SHOWN: Duration = Duration::from_mins(1);
/// How long to wait for a server to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that is killed when this is dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where everything of a part lies, and what is the same for all of it.
struct Part<'a> {
    built: &'a Built,
    tools: PathBuf,
    dir: PathBuf,
    broker: u16,
}

pub(super) fn run(args: &Args, built: &Built) -> Result<()> {
    let tools = test::servers()?;
    let root = shell::root().join("target/bench-fleet");
    let _ = fs::remove_dir_all(&root);
    let Args { hosts, seconds, processes } = args;
    println!("{hosts} hosts, {processes} processes each, {seconds} s");
    let part = |name: &str| -> Result<Part<'_>> {
        let dir = root.join(name);
        fs::create_dir_all(&dir)?;
        Ok(Part { built, tools: tools.clone(), dir, broker: free_port()? })
    };
    let one = part("embedded")?.embedded(args).context("the part with the embedded store")?;
    let two = part("victoria-metrics")?.victoria_metrics(args).context("the part with VictoriaMetrics")?;
    for (name, figures) in [("embedded store", one), ("VictoriaMetrics", two)] {
        let number = |key: &str| figures[key].as_f64().unwrap_or(f64::NAN);
        bar(&format!("{name}: windows not stored"), number("made") - number("found"), 0.0);
        bar(&format!("{name}: lag p99, ms"), number("lag_p99_ms"), LAG_P99_MS);
    }
    Ok(())
}

impl Part<'_> {
    fn embedded(&self, args: &Args) -> Result<Value> {
        let _broker = self.mosquitto()?;
        let ingester = self.serve("keeper", &[])?;
        let fleet = self.fleet(args)?;
        let cpu = proc::cpu(ingester.0.id());
        let mut figures = finished(fleet)?;
        let used = proc::cpu(ingester.0.id()).unwrap_or_default().saturating_sub(cpu.unwrap_or_default());
        let query = "sum(count_over_time(s7mpa_host_forks[1h]))";
        let answer = shell::capture(
            Command::new(self.built.program("agent"))
                .args(["promql", query, "--json", "--set", &self.state("keeper")])
                .stdin(Stdio::null()),
        )?;
        let answer: Value = serde_json::from_str(&answer)?;
        figures["found"] = number(&answer["result"][0]["value"][1]);
        said("embedded store, 1 ingester", &figures, used, args);
        Ok(figures)
    }

    fn victoria_metrics(&self, args: &Args) -> Result<Value> {
        let _broker = self.mosquitto()?;
        let port = free_port()?;
        let database = Command::new(self.tools.join("usr/bin/victoria-metrics"))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .arg(format!("-storageDataPath={}", self.dir.join("data").display()))
            .arg("-memory.allowedBytes=512MB")
            // What the killed ingester has written and not acknowledged comes again.
            .arg("-dedup.minScrapeInterval=1ms")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let _database = Program(database.context("cannot start victoria-metrics")?);
        listens(port)?;
        let url = format!("server.influx_url=http://127.0.0.1:{port}");
        let serve = |name: &str| {
            let id = format!("server.ingest_id={name}");
            self.serve(name, &["server.store=influx2", &url, "server.ingest_group=fleet", &id])
        };
        let (first, second) = (serve("ingester-1")?, serve("ingester-2")?);
        let fleet = self.fleet(args)?;
        std::thread::sleep(Duration::from_secs(args.seconds / 2));
        let used = proc::cpu(second.0.id()).unwrap_or_default();
        drop(second);
        std::thread::sleep(Duration::from_secs(2));
        let second = serve("ingester-2")?;
        let mut figures = finished(fleet)?;
        let used =
            [first.0.id(), second.0.id()].iter().filter_map(|pid| proc::cpu(*pid)).sum::<Duration>() + used;
        let get = |path: &str| {
            shell::capture(Command::new("curl").args(["--silent", "--fail", "--get"]).args([
                "--data-urlencode",
                "query=sum(count_over_time(s7mpa_host_forks[1h]))",
                &format!("http://127.0.0.1:{port}{path}"),
            ]))
        };
        let begun = Instant::now();
        while figures["found"].as_f64() < figures["made"].as_f64() && begun.elapsed() < SHOWN {
            get("/internal/force_flush")?;
            let answer: Value = serde_json::from_str(&get("/api/v1/query?nocache=1")?)?;
            figures["found"] = number(&answer["data"]["result"][0]["value"][1]);
            std::thread::sleep(Duration::from_secs(1));
        }
        said("VictoriaMetrics, 2 ingesters, one killed", &figures, used, args);
        Ok(figures)
    }

    fn mosquitto(&self) -> Result<Program> {
        let file = self.dir.join("mosquitto.conf");
        let config = "allow_anonymous true\nuser root\nmax_queued_messages 0\n";
        fs::write(&file, format!("listener {} 127.0.0.1\n{config}", self.broker))?;
        let libraries = self.tools.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
        let child = Command::new(self.tools.join("usr/sbin/mosquitto"))
            .arg("-c")
            .arg(&file)
            .env("LD_LIBRARY_PATH", libraries)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let broker = Program(child.context("cannot start mosquitto")?);
        listens(self.broker)?;
        Ok(broker)
    }

    fn state(&self, name: &str) -> String {
        format!("state_dir={}", self.dir.join(name).display())
    }

    fn serve(&self, name: &str, settings: &[&str]) -> Result<Program> {
        let mut command = Command::new(self.built.program("agent"));
        command.args(["serve", "--mqtt", &format!("mqtt://127.0.0.1:{}", self.broker)]);
        let dirs = [self.state(name), format!("run_dir={}", self.dir.join(name).join("run").display())];
        for setting in dirs.iter().map(String::as_str).chain(settings.iter().copied()) {
            command.args(["--set", setting]);
        }
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.dir.join(format!("{name}.log")))?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        Ok(Program(child.context("cannot start the agent")?))
    }

    fn fleet(&self, args: &Args) -> Result<Child> {
        Command::new(self.built.program("fleet"))
            .arg(format!("mqtt://127.0.0.1:{}", self.broker))
            .args([args.hosts.to_string(), args.seconds.to_string(), args.processes.to_string()])
            .arg(self.dir.join("spools"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the simulated hosts")
    }
}

fn finished(fleet: Child) -> Result<Value> {
    let output = fleet.wait_with_output()?;
    if !output.status.success() {
        bail!("the simulated hosts ended with {}", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn number(text: &Value) -> Value {
    text.as_str().and_then(|text| text.parse::<f64>().ok()).map_or(Value::Null, Value::from)
}

fn said(name: &str, figures: &Value, used: Duration, args: &Args) {
    println!("{name}: {figures}, {:.1} % of a core", 100.0 * used.as_secs_f64() / args.seconds as f64);
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn listens(port: u16) -> Result<()> {
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if begun.elapsed() > PATIENCE {
            bail!("nothing listens on port {port}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
