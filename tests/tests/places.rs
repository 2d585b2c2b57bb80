//! What processes belong to, on real cgroups: a container with its runtime's file, a unit. And file systems, a dead one among them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::agent;
use tests::daemon::Daemon;
use tests::fuse::Fuse;
use tests::workload::Workload;

/// A cgroup of a hierarchy; gone with the value, after its processes.
struct Group(PathBuf);

impl Group {
    /// `path` in the hierarchy of this controller (v1), or in the only one.
    fn new(controller: &str, path: &str) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let root =
            if root.join("cgroup.controllers").exists() { root.to_owned() } else { root.join(controller) };
        let dir = root.join(path);
        fs::create_dir_all(&dir).expect("a cgroup");
        Self(dir)
    }

    fn add(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("a process in it");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel empties it some time after the last process was waited for.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        // The one above, if it is ours.
        let _ = self.0.parent().map(fs::remove_dir);
    }
}

/// A directory; gone with the value.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn report(daemon: &Daemon) -> Value {
    let socket = daemon.path("run/agent.sock").display().to_string();
    let output = agent::run(&["--socket", &socket, "report", "--json", "-n", "0", "--last", "3s"]);
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn row(report: &Value, pid: u32) -> Option<Value> {
    report["processes"].as_array()?.iter().find(|row| row["pid"] == pid).cloned()
}

#[test]
fn processes_have_the_names_of_their_container_and_their_unit() {
    if !tests::can_observe() {
        return;
    }
    let id = format!("{:064x}", u128::from(std::process::id()) << 64 | 0xc0_ffee);
    let files = Directory(PathBuf::from(format!("/var/lib/docker/containers/{id}")));
    fs::create_dir_all(&files.0).expect("a directory");
    let text = r#"{"ID":"x","Name":"/web-of-a-test","Config":{"Image":"nginx:1.25","Labels":
        {"io.kubernetes.pod.name":"web-7f","io.kubernetes.pod.namespace":"shop"}}}"#;
    fs::write(files.0.join("config.v2.json"), text).expect("a file");
    let container = Group::new("memory", &format!("docker/{id}"));
    let unit = Group::new("systemd", "system.slice/s7mpa-test.service");
    let mut daemon = Daemon::start();
    let (mut inside, mut serves) =
        (Workload::start("getppid_loop", &[1 << 40]), Workload::start("getppid_loop", &[1 << 40]));
    container.add(inside.pid());
    unit.add(serves.pid());
    inside.begin();
    serves.begin();
    let (inside_pid, serves_pid) = (inside.pid(), serves.pid());
    let found = daemon.wait_for("the container's name", |daemon| {
        row(&report(daemon), inside_pid).filter(|row| row["container"] == "web-of-a-test")
    });
    assert_eq!(
        (&found["pod"], &found["namespace"], &found["image"], &found["unit"]),
        (&Value::from("web-7f"), &Value::from("shop"), &Value::from("nginx:1.25"), &Value::Null)
    );
    let found = daemon.wait_for("the unit's name", |daemon| {
        row(&report(daemon), serves_pid).filter(|row| row["unit"] == "s7mpa-test.service")
    });
    assert_eq!(found["container"], Value::Null);
    // As tags of its metrics.
    let pid = format!("pid={inside_pid}");
    let tags = [pid.as_str(), "container=web-of-a-test", "pod=web-7f", "namespace=shop", "image=nginx:1.25"];
    daemon.wait_for("metrics of the container", |daemon| {
        daemon.stored("s7mpa_process", "user_ns", &tags).filter(|ns| *ns > 0)
    });
    daemon.wait_for("its thread time", |daemon| {
        daemon.stored("s7mpa_thread_time", "oncpu_ns", &tags[..2]).filter(|ns| *ns > 0)
    });
    let pid = format!("pid={serves_pid}");
    daemon.wait_for("metrics of the unit", |daemon| {
        daemon.stored("s7mpa_process", "user_ns", &[&pid, "unit=s7mpa-test.service"]).filter(|ns| *ns > 0)
    });
    // In flame graphs by container.
    let socket = daemon.path("run/agent.sock").display().to_string();
    let out = daemon.path("out.folded").display().to_string();
    let args = ["--socket", &socket, "flamegraph", "--all", "--last", "5s", "--by", "container", "-o", &out];
    let graph = agent::run(&args);
    assert!(graph.status.success(), "{}", String::from_utf8_lossy(&graph.stderr));
    let folded = fs::read_to_string(&out).expect("stacks");
    assert!(folded.lines().any(|line| line.starts_with("shop/web-7f/web-of-a-test;")), "{folded}");
    drop((inside, serves));
}

#[test]
fn file_systems_are_metrics_and_a_dead_one_holds_up_nothing() {
    if !tests::can_observe() {
        return;
    }
    let dead = Fuse::serve(&["/bin/dash"]);
    let dead_point = dead.path("").display().to_string();
    let dead_tag = format!("mountpoint={}", dead_point.trim_end_matches('/'));
    dead.stop();
    let mut daemon = Daemon::start();
    let stat = nix::sys::statvfs::statvfs("/").expect("the root");
    let size = stat.blocks() * stat.fragment_size();
    daemon.wait_for("the size of the root", |daemon| {
        let sum = daemon.stored("s7mpa_filesystem", "size_bytes", &["mountpoint=/"])?;
        (sum > 0 && sum % size == 0).then_some(())
    });
    daemon.wait_for("the dead mount's error", |daemon| {
        let state = format!("state_dir={}", daemon.path("state").display());
        let args =
            ["--set", &state, "query", "s7mpa_filesystem", "device_error", "--tag", &dead_tag, "--json"];
        let answer: Value = serde_json::from_slice(&agent::run(&args).stdout).ok()?;
        let samples = answer["series"][0]["samples"].as_array()?;
        samples.iter().any(|sample| sample[1] == true).then_some(())
    });
    // Windows go on at their pace: the newest is of the last seconds.
    daemon.wait_for_more_windows(3);
    for (measurement, field) in
        [("s7mpa_netstat", "sockets"), ("s7mpa_tables", "files_max"), ("s7mpa_memory", "active_bytes")]
    {
        let found = daemon.stored(measurement, field, &[]).unwrap_or(0);
        assert!(found > 0, "{measurement} {field}");
    }
    assert!(daemon.stop().success(), "{}", daemon.log());
}
