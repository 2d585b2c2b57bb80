//! The program as a user meets it: help, completions, exit codes, configuration. Needs no root.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use ::agent::config::Settings;
use agent_common::units::UnixNs;
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::Point;
use server::store::embedded::{self, EmbeddedStore};
use server::store::{Store, Window};

fn agent(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("S7MPA_")) {
        command.env_remove(name);
    }
    command
}

fn run(args: &[&str]) -> Output {
    agent(args).output().expect("the agent starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_goes_to_stdout_and_names_every_command() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    for command in [
        "run",
        "serve",
        "flamegraph",
        "syscalls",
        "top",
        "report",
        "alerts",
        "query",
        "promql",
        "doctor",
        "config",
        "completions",
    ] {
        assert!(text.contains(&format!("\n  {command} ")), "{command} is missing in {text}");
        let help = run(&[command, "--help"]);
        assert_eq!(help.status.code(), Some(0), "{command}");
        assert!(stdout(&help).contains("Usage: agent"), "{command}");
    }
    assert!(!text.contains("__hold"));
}

#[test]
fn no_escape_codes_reach_a_pipe() {
    for args in [&["--help"][..], &["config", "show"], &["doctor"], &["nonsense"]] {
        let output = run(args);
        assert!(!stdout(&output).contains('\x1b') && !stderr(&output).contains('\x1b'), "{args:?}");
    }
    let coloured = run(&["config", "show", "--color", "always"]);
    assert!(stdout(&coloured).contains('\x1b'));
}

#[test]
fn completions_are_made_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("flamegraph"), "{shell}");
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_so_on_stderr() {
    for args in
        [&["flamegraph"][..], &["flamegraph", "--pid", "x"], &["fly"], &["syscalls", "--duration", "10"]]
    {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child =
        agent(&["completions", "zsh"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The command writes more than fits into a pipe, and no process reads it.
    drop(child.stdout.take());
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text}");
    assert!(text.is_empty(), "{text}");
}

#[test]
fn config_check_names_file_line_value_and_cure() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.toml");
    std::fs::write(
        &file,
        "[collector]\nrate_hz = 97\n\n[histroy]\nwindows = \"10m\"\n[mqtt]\ndelivery = \"maybe\"\n",
    )
    .unwrap();
    let output = run(&["config", "check", "--config", &file.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains("agent.toml:4: unknown key `[histroy]`; did you mean `[history]`?"), "{text}");
    assert!(text.contains("agent.toml:7: mqtt.delivery: `maybe` is not one of store, broker"), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");

    std::fs::write(&file, "[collector]\nrate_hz = 49\n").unwrap();
    let output = run(&["config", "check", "--config", &file.to_string_lossy()]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));

    let output = run(&["config", "check", "--config", "/nowhere/agent.toml"]);
    assert!(stderr(&output).contains("/nowhere/agent.toml: cannot be read"), "{}", stderr(&output));
}

#[test]
fn the_configurations_in_deploy_name_keys_that_there_are() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/fleet");
    for name in ["collector.toml", "ingester.toml"] {
        let output = run(&["config", "show", "--config", &dir.join(name).to_string_lossy()]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        assert!(stdout(&output).contains("mqtts://broker.example:8883"), "{name}");
    }
    let compose = std::fs::read_to_string(dir.join("compose.yaml")).expect("compose.yaml");
    let variables: Vec<(&str, &str)> = compose
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(key, _)| key.starts_with("S7MPA_"))
        .collect();
    assert!(variables.len() > 5, "{variables:?}");
    let output = agent(&["config", "check"]).envs(variables).output().expect("the agent starts");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn config_show_says_where_each_value_is_from_and_hides_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.toml");
    std::fs::write(
        &file,
        "[mqtt]\nurl = \"mqtt://me:hush@broker\"\npassword = \"hush\"\n[collector]\nrate_hz = 49\n",
    )
    .unwrap();
    let output =
        agent(&["config", "show", "--config", &file.to_string_lossy(), "--set", "history.windows=1m"])
            .env("S7MPA_COLLECTOR_PROCESSES", "7")
            .output()
            .unwrap();
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line = |key: &str| {
        text.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key}: {text}"))
    };
    assert!(line("collector.rate_hz").contains("49") && line("collector.rate_hz").ends_with("agent.toml:5"));
    assert!(line("collector.processes").ends_with("S7MPA_COLLECTOR_PROCESSES"));
    assert!(line("history.windows").ends_with("--set"));
    assert!(line("mqtt.url").contains("mqtt://me@broker:1883"));
    assert!(line("mqtt.password ").contains("(hidden)") && !text.contains("hush"), "{text}");
    assert!(line("socket").ends_with("default"));
}

#[test]
fn doctor_has_a_stable_json_shape() {
    let output = run(&["doctor", "--json"]);
    let diagnosis: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(i32::from(diagnosis["works"] != true)));
    for check in diagnosis["checks"].as_array().unwrap() {
        assert!(check["name"].is_string() && check["found"].is_string(), "{check}");
        assert!(["ok", "note", "warn", "fail"].contains(&check["health"].as_str().unwrap()), "{check}");
        if check["health"] == "fail" || check["health"] == "warn" {
            assert!(check["cure"].is_string(), "{check}");
        }
    }
    for probe in diagnosis["probes"].as_array().unwrap() {
        assert!(probe["program"].is_string() && probe["lost"].is_string(), "{probe}");
    }
}

#[test]
fn what_only_a_daemon_can_do_names_the_socket() {
    for args in [&["flamegraph", "--all", "--last", "5m"][..], &["report", "--last", "1m"]] {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("agent.sock");
        let output = agent(args).arg("--socket").arg(&socket).current_dir(dir.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr(&output).contains(&*socket.to_string_lossy()), "{}", stderr(&output));
        assert!(!Path::new(&dir.path().join("flamegraph.svg")).exists(), "nothing is left behind");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_found_before_anything_is_observed() {
    let output = run(&["flamegraph", "--all", "--duration", "1h", "-o", "/nowhere/out.svg"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot write /nowhere/out.svg"), "{}", stderr(&output));
}

#[test]
fn the_held_child_runs_its_command_only_when_released() {
    // Its pipe ends at once: the agent that should release it is gone.
    let output = agent(&["__hold", "--fd", "0", "--", "echo", "ran"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    for (command, code) in [("true", 0), ("/nowhere/command", 127), ("/", 126)] {
        let mut child = agent(&["__hold", "--fd", "0", "--", command])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), &[1]).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{command}");
    }
}

#[test]
fn a_secret_on_the_command_line_is_warned_about_and_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    // A state directory that cannot be, below a file: it ends at once.
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let state = file.join("state").display().to_string();
    let args = ["serve", "--mqtt", "mqtt://me:hush@localhost:1", "--state-dir", &state, "--run-dir", &state];
    let said = stderr(&run(&args));
    assert!(said.contains("--mqtt carries a secret") && said.contains("mqtt.password_file"), "{said}");
    assert!(!said.contains("hush"), "{said}");
    let said = stderr(&run(&["doctor", "--set", "server.influx_token=hush"]));
    assert!(
        said.contains("--set server.influx_token=… carries a secret") && !said.contains("hush"),
        "{said}"
    );
    let said = stderr(&run(&["doctor", "--set", "mqtt.url=mqtt://me@localhost"]));
    assert!(!said.contains("carries a secret"), "{said}");
}

/// Root reads a store as the user whose it is.
fn give_to_reader(dir: &Path, state: &Path) {
    let mut config = Settings::defaults().config().expect("the defaults are sound");
    (config.state_dir, config.run_dir) = (state.to_owned(), dir.join("run"));
    ::agent::daemon::make_relay_dirs(&config).expect("its directories");
}

#[test]
fn promql_is_answered_from_the_store_at_a_moment_and_over_time() {
    const SECOND: u64 = 1_000_000_000;
    const BEGIN: u64 = 1_795_960_800;
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("state");
    let store =
        EmbeddedStore::open(&dir.path().join("state-server"), embedded::Options::default()).expect("a store");
    let windows: Vec<Window> = (1..=120)
        .map(|seq| {
            let (host, stream) = ("db1".to_owned(), "0123456789abcdef".to_owned());
            let end = UnixNs((BEGIN + seq) * SECOND);
            let point = Point::new("s7mpa_host", end)
                .tag("host", &host)
                .field("forks", 2_u64)
                .field("load1", seq as f64);
            Window::from_points(WindowHead { host, stream, seq, points: 1, span_ns: SECOND, end }, &[point])
        })
        .collect();
    store.write(&windows).expect("written");
    drop(store);
    give_to_reader(dir.path(), &state);
    let state = format!("state_dir={}", state.display());
    let promql = |args: &[&str]| {
        let output = run(&[&["--set", &state, "promql"], args].concat());
        (output.status.code(), stdout(&output), stderr(&output))
    };
    let end = (BEGIN + 120).to_string();
    let value = |query: &str| {
        let (code, out, said) = promql(&[query, "--at", &end, "--json"]);
        assert_eq!(code, Some(0), "{query}: {said}");
        let answer: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        answer["result"][0]["value"][1].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(value("s7mpa_host_load1"), "120");
    assert_eq!(value("sum_over_time(s7mpa_host_forks[1m])"), "120");
    assert_eq!(value("increase(s7mpa_host_forks_total[1m])"), "120");
    assert_eq!(value(r#"rate(node_forks_total{instance="db1"}[1m])"#), "2");
    let (code, out, _) =
        promql(&["max by (host) (s7mpa_host_load1)", "--from", "2026-11-29 14:00:01", "--to", &end]);
    assert_eq!(code, Some(0));
    assert!(
        out.contains("{host=\"db1\"}") && out.contains("1 to 120, last 120") && out.contains('█'),
        "{out}"
    );
    let (_, out, said) = promql(&["s7mpa_host_load1", "--at", "2026-11-28"]);
    assert!(out.is_empty() && said.contains("no series has a value there"), "{out}{said}");
    let (code, _, said) = promql(&["sum("]);
    assert!(code == Some(1) && said.contains("cannot be understood"), "{said}");
    // A database elsewhere: it is named, its password is not.
    let elsewhere =
        ["server.store=influx1", "server.influx_url=http://127.0.0.1:1", "server.influx_token=hush"];
    let flags: Vec<&str> = elsewhere.iter().flat_map(|flag| ["--set", flag]).collect();
    let output = run(&[&flags[..], &["promql", "up"]].concat());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("http://127.0.0.1:1: connection refused"), "{said}");
    let (code, _, said) = promql(&["up", "--url", "http://127.0.0.1:1", "--here"]);
    assert!(code == Some(1) && said.contains("http://127.0.0.1:1: connection refused"), "{said}");
    let (code, _, said) = promql(&["up", "--at", "soon"]);
    assert!(code == Some(2) && said.contains("yesterday 14:03"), "{said}");
}

/// A collector whose clock is a day ahead: its last minutes are read by its own clock, and the skew is said.
#[test]
fn a_host_whose_clock_is_ahead_is_read_in_its_own_time_and_named() {
    const SECOND: u64 = 1_000_000_000;
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("state");
    let store =
        EmbeddedStore::open(&dir.path().join("state-server"), embedded::Options::default()).expect("a store");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    for (host, ahead) in [("ahead", 86_400 * SECOND), ("right", 0)] {
        // The second is an hour older than the first.
        let windows = [(2, now), (1, now - 3_600 * SECOND)].map(|(seq, end)| {
            let end = UnixNs(end + ahead);
            let stream = "0123456789abcdef".to_owned();
            let head = WindowHead { host: host.to_owned(), stream, seq, points: 1, span_ns: SECOND, end };
            Window::from_points(head, &[Point::new("m", end).tag("host", host).field("v", seq)])
        });
        store.write(&windows).expect("written");
    }
    drop(store);
    if nix::unistd::geteuid().is_root() {
        let state = format!("state_dir={}", state.display());
        let said = stderr(&run(&["--set", &state, "query"]));
        assert!(said.contains("cannot read the store") && said.contains("server.user"), "{said}");
    }
    give_to_reader(dir.path(), &state);
    let query = |args: &[&str]| {
        let state = format!("state_dir={}", state.display());
        let output = run(&[&["--set", &state, "query", "m", "v"], args].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        (stdout(&output), stderr(&output))
    };
    for args in [&["--json"][..], &["--json", "--step", "1h"]] {
        let (out, said) = query(args);
        let answer: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let found = answer["series"].as_array().expect("series").iter().map(|series| {
            let samples = series["samples"].as_array().or(series["steps"].as_array()).expect("samples");
            (series["tags"]["host"].as_str().expect("a host"), samples.len())
        });
        assert_eq!(found.collect::<Vec<_>>(), [("ahead", 1), ("right", 1)], "{out}");
        assert!(said.contains("ahead: its clock is 23h") && !said.contains("right"), "{said}");
    }
    let (out, said) = query(&["--tag", "host=right", "--last", "2h"]);
    assert!(out.lines().count() == 3 && said.is_empty(), "{out}{said}");
    let (out, said) = query(&["--tag", "host=ahead"]);
    assert!(out.lines().count() == 2 && said.contains("its clock"), "{out}{said}");
}
