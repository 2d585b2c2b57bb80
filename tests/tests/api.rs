//! The HTTP API of a running daemon: a browser's way in, a program's way in, and what both see.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tests::agent;
use tests::daemon::Daemon;

/// An answer: status, headers in lower case, body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Where the API of a daemon is: what `agent open` prints before the `#`, without the slash at its end.
fn place(link: &str) -> &str {
    link.strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("a URL on loopback")
}

fn send(place: &str, request: &str, headers: &[String], body: &str) -> Answer {
    let mut stream = TcpStream::connect(place).expect("connect");
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a time-out");
    let headers = headers.iter().flat_map(|header| [header, "\r\n"]).collect::<String>();
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(text.as_bytes()).expect("it takes it");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

fn promtool() -> Command {
    let root = std::env::var_os("S7MPA_PROMETHEUS").map(PathBuf::from);
    Command::new(root.map_or_else(|| "promtool".into(), |root| root.join("promtool")))
}

/// A server that does not outlive its test.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const QUERY: &str = "count(s7mpa_host_load1%7Bhost%3D%22tested%22%7D)";

fn count(body: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(body).ok()?;
    answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
}

#[test]
fn a_browser_comes_in_by_a_link_and_a_program_by_a_token_and_both_see_the_host() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = Daemon::start();
    daemon.wait_for_windows(3);
    let link = daemon.wait_for("a link", |daemon| daemon.printed(&["open", "--role", "viewer"]));
    let place = place(&link).to_owned();
    let secret = link.split_once("#link=").expect("a secret").1;
    let page = send(&place, "GET /", &[], "");
    assert!(page.status == 200 && page.body.contains("src=\"app-"), "{}", page.body);
    let origin = format!("Origin: http://{place}");
    let json_body = "Content-Type: application/json".to_owned();
    let login = || {
        let headers = [origin.clone(), json_body.clone(), "Sec-Fetch-Site: same-origin".to_owned()];
        send(&place, "POST /api/s7mpa/v1/login", &headers, &json!({ "link": secret }).to_string())
    };
    let first = login();
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(login().status, 401, "a second time");
    let cookie = first.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let cookie = format!("Cookie: {}", cookie.split(';').next().expect("its value"));
    let query = format!("GET /api/v1/query?query={QUERY}");
    assert_eq!(send(&place, &query, &[], "").status, 401);
    let seen = daemon
        .wait_for("its own data", |_| count(&send(&place, &query, std::slice::from_ref(&cookie), "").body));
    assert_eq!(seen, "1");
    // What public dashboards ask for is there under its name.
    let node = send(&place, "GET /api/v1/query?query=count(node_load1)", &[cookie], "");
    assert_eq!(count(&node.body).as_deref(), Some("1"), "{}", node.body);

    let token =
        daemon.printed(&["token", "create", "--name", "promtool", "--role", "viewer"]).expect("a token");
    let instant = || {
        let url = format!("http://token:{token}@{place}/");
        promtool()
            .args(["query", "instant", &url, "count(s7mpa_host_load1{host=\"tested\"})"])
            .output()
            .unwrap_or_else(|e| {
                panic!("cannot start promtool: {e}; `cargo xtask test` fetches it and sets S7MPA_PROMETHEUS")
            })
    };
    let output = instant();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("{} => 1 @["), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let scraped = send(&place, "GET /metrics", &[format!("Authorization: Bearer {token}")], "");
    let own = "s7mpa_host_load1{host=\"tested\"} ";
    assert!(scraped.body.lines().any(|line| line.starts_with(own)), "{}", scraped.body);
    let stored =
        scraped.body.lines().find_map(|line| line.strip_prefix("s7mpa_server_stored_windows_total "));
    assert!(stored.and_then(|count| count.parse::<u64>().ok()).is_some_and(|count| count >= 3), "{stored:?}");
    for channel in ["profile", "log"] {
        let counted = format!("s7mpa_server_stored_messages_total{{channel=\"{channel}\"}} ");
        assert!(scraped.body.lines().any(|line| line.starts_with(&counted)), "{channel}: {}", scraped.body);
    }
    assert!(daemon.printed(&["token", "revoke", "promtool"]).is_some());
    assert!(!instant().status.success(), "in force with the next request");

    // `agent doctor` says where it is; the log of who did what names the commands.
    let socket = daemon.path("run/agent.sock").display().to_string();
    let doctor = agent::run(&["--socket", &socket, "doctor", "--json"]);
    let doctor: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let found = doctor["checks"].as_array().expect("checks").iter().find(|check| check["name"] == "HTTP API");
    assert!(
        found.is_some_and(|check| check["found"].as_str().is_some_and(|url| url.contains(&place))),
        "{found:?}"
    );
    assert!(!daemon.log().contains("has refused calls"), "{}", daemon.log());
    assert!(daemon.stop().success());
}

/// A program that runs as long as its test.
struct Spin(std::process::Child);

impl Drop for Spin {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_is_asked_about_while_it_runs_and_its_past_when_it_is_kept() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = Daemon::start();
    let spin = Spin(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh"));
    let pid = spin.0.id();
    daemon.wait_for_windows(3);
    let link = daemon.wait_for("the API", |daemon| daemon.printed(&["open", "--role", "viewer"]));
    let place = place(&link).to_owned();
    let token = |role: &str| {
        let made = daemon.printed(&["token", "create", "--name", role, "--role", role]).expect("a token");
        format!("Authorization: Bearer {made}")
    };
    let (viewer, operator) = (token("viewer"), token("operator"));
    let live = |token: &String, what: &str| {
        let headers = [token.clone(), "Content-Type: application/json".to_owned()];
        send(&place, &format!("POST /api/s7mpa/v1/hosts/tested/live/{what}"), &headers, "{}")
    };
    assert_eq!(live(&viewer, &format!("flamegraph?pid={pid}")).status, 403);
    let ahead = live(&operator, &format!("flamegraph?pid={pid}&seconds=3&ahead=true&by=process"));
    assert_eq!(ahead.status, 200, "{}", ahead.body);
    let graph: Value = serde_json::from_str(&ahead.body).expect("JSON");
    assert!(graph["total"].as_u64().is_some_and(|total| total > 0), "{graph}");
    assert_eq!(graph["frames"][1]["name"], format!("sh-{pid}"), "{graph}");
    let report = live(&operator, &format!("report?pid={pid}&seconds=5"));
    let report: Value = serde_json::from_str(&report.body).expect("JSON");
    let threads = report["report"]["process"]["threads"].as_array().map(Vec::len);
    assert_eq!(threads, Some(1), "{report}");
    let none = live(&operator, "flamegraph?pid=4194303&seconds=1");
    assert_eq!(none.status, 404, "{}", none.body);

    let get =
        |path: &str| send(&place, &format!("GET /api/s7mpa/v1/{path}"), std::slice::from_ref(&viewer), "");
    let now: Value = serde_json::from_str(&get("hosts/tested/now").body).expect("JSON");
    assert!(now["processes"].as_array().is_some_and(|all| !all.is_empty()), "{now}");
    let states: Value =
        serde_json::from_str(&get(&format!("hosts/tested/processes/{pid}/states?duration=1m")).body)
            .expect("JSON");
    assert!(states["states"]["oncpu"].is_array(), "{states}");
    let kept = format!("flamegraph?duration=10m&pid={pid}&format=folded");
    let folded = daemon.wait_for("its stacks in the store", |_| {
        let answer = get(&kept);
        (answer.status == 200 && answer.body.contains("sh;")).then_some(answer.body)
    });
    assert!(folded.lines().all(|line| line.starts_with("sh;") || line.starts_with("sh ")), "{folded}");
    let waits: Value = serde_json::from_str(&get("waits?duration=10m").body).expect("JSON");
    assert!(waits["edges"].as_array().is_some_and(|all| !all.is_empty()), "{waits}");
    let reports = daemon.wait_for("a report", |_| {
        let reports: Value = serde_json::from_str(&get("reports").body).ok()?;
        reports["reports"].as_array().filter(|all| !all.is_empty()).cloned()
    });
    assert_eq!(reports[0]["host"], "tested");
    assert!(!daemon.log().contains("has refused calls"), "{}", daemon.log());
    drop(spin);
    assert!(daemon.stop().success());
}

#[test]
fn a_taken_port_costs_the_api_alone_and_it_comes_when_the_port_is_free() {
    if !tests::can_observe() {
        return;
    }
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("its number").port().to_string();
    let http = format!("server.http.listen=127.0.0.1:{port}");
    let mut daemon = Daemon::start_in(tests::daemon::directory(), &["--set", &http]);
    daemon.wait_for_windows(3);
    let log = daemon.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("the HTTP API does not run")).collect();
    assert!(lines.len() == 1 && lines[0].contains("is in use"), "{log}");
    drop(holder);
    daemon.wait_for("the API", |daemon| daemon.log().contains("the HTTP API listens").then_some(()));
    let place = format!("127.0.0.1:{port}");
    assert_eq!(send(&place, "GET /healthz", &[], "").status, 200);
}

#[test]
fn elsewhere_it_waits_for_an_account_and_then_speaks_tls() {
    let dir = tests::daemon::directory();
    let (state, run) = (dir.path().join("state"), dir.path().join("run"));
    let log = std::fs::File::create(dir.path().join("log")).expect("a log");
    let _server = Server(
        agent::command(&["serve", "--http", "0.0.0.0:0", "--set", "server.mqtt_listen=127.0.0.1:0"])
            .arg("--state-dir")
            .arg(&state)
            .arg("--run-dir")
            .arg(&run)
            .stderr(log)
            .spawn()
            .expect("the agent starts"),
    );
    let said = |words: &str| {
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_mins(2) {
            let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
            if log.contains(words) {
                return log;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{words} is not in {}", std::fs::read_to_string(dir.path().join("log")).unwrap_or_default());
    };
    said("agent user add");
    let dirs = [format!("state_dir={}", state.display()), format!("run_dir={}", run.display())];
    let mut add =
        agent::command(&["--set", &dirs[0], "--set", &dirs[1], "user", "add", "alice", "--role", "admin"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("the agent starts");
    add.stdin.take().expect("it is piped").write_all(b"correct horse\n").expect("it reads");
    assert!(add.wait().expect("its end").success());
    let log = said("the HTTP API listens");
    assert!(log.contains("https://") && log.contains("fingerprint="), "{log}");
    let list = agent::run(&["--set", &dirs[0], "--set", &dirs[1], "user", "list", "--json"]);
    let list: Value = serde_json::from_slice(&list.stdout).expect("JSON");
    assert_eq!(list["accounts"][0]["name"], "alice");
}
