//! Requests, one after another on each socket.

use std::io::{self, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use agent_common::wire::finding::Alert;
use sandbox::Process;
use sandbox::landlock::Reach;

use crate::program::{Program, run};
use crate::{DEBUGINFOD_CLIENT, Reply, Request, Settings, line, read_line};

/// Longest download of debug information; the client has time-outs of its own.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_mins(5);
/// A build ID in hexadecimal digits; the longest in use are SHA-256.
const MAX_BUILD_ID: usize = 64;

/// Answers the requests on each of the sockets. Ends when standard input does.
pub fn serve(settings: &Settings, sockets: Vec<UnixStream>) -> io::Result<()> {
    for socket in sockets {
        let settings = settings.clone();
        std::thread::Builder::new().name("requests".to_owned()).spawn(move || {
            if let Err(error) = answer(&settings, &socket) {
                tracing::warn!(%error, "the plugin process takes no more requests on a socket");
            }
        })?;
    }
    // It stays open while the daemon lives.
    while read_line(&mut io::stdin().lock())?.is_some() {}
    Ok(())
}

fn answer(settings: &Settings, socket: &UnixStream) -> io::Result<()> {
    let mut requests = BufReader::new(socket);
    while let Some(text) = read_line(&mut requests)? {
        let reply = match serde_json::from_str(&text) {
            Ok(request) => one(settings, &request),
            Err(error) => Err(format!("not a request: {error}")),
        };
        let reply = reply.map_or_else(Reply::Failed, |()| Reply::Done);
        let mut socket = socket;
        socket.write_all(&line(&reply))?;
    }
    Ok(())
}

fn one(settings: &Settings, request: &Request) -> Result<(), String> {
    match request {
        Request::Alert(alert) => {
            let path = settings.exec.as_ref().ok_or("alerts.exec is not set")?;
            let json = serde_json::to_vec(alert).map_err(|error| error.to_string())?;
            run(&Program {
                path,
                arguments: &[],
                variables: fields(alert),
                home: &settings.home,
                input: &json,
                timeout: settings.timeout,
            })
            .map_err(|why| format!("{}: {why}", path.display()))
        }
        Request::Debuginfo { build_id } => {
            let cache = settings.debuginfod_cache().ok_or("debuginfod is not configured")?;
            let digits = build_id.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !digits || build_id.is_empty() || build_id.len() > MAX_BUILD_ID {
                return Err("not a build ID".to_owned());
            }
            run(&Program {
                path: DEBUGINFOD_CLIENT.as_ref(),
                arguments: &["debuginfo", build_id],
                variables: vec![("DEBUGINFOD_CACHE_PATH", cache.to_string_lossy().into_owned())],
                home: &settings.home,
                input: b"",
                timeout: DOWNLOAD_TIMEOUT,
            })
            .map_err(|why| format!("{DEBUGINFOD_CLIENT}: {why}"))
        }
    }
}

/// The main fields of an alert, for programs that read no JSON.
fn fields(alert: &Alert) -> Vec<(&'static str, String)> {
    let subject = &alert.finding.subject;
    vec![
        ("S7MPA_ALERT_ID", alert.id.clone()),
        ("S7MPA_ALERT_STATE", format!("{:?}", alert.state).to_lowercase()),
        ("S7MPA_ALERT_HOST", alert.host.clone()),
        ("S7MPA_ALERT_CLASS", alert.finding.class.to_string()),
        ("S7MPA_ALERT_PID", subject.pid.map(|pid| pid.to_string()).unwrap_or_default()),
        ("S7MPA_ALERT_COMM", subject.comm.as_deref().unwrap_or_default().to_owned()),
    ]
}

/// Gives away all that the process and its programs do not need. While there is one thread.
pub fn confine(settings: &Settings) -> Result<(), sandbox::Error> {
    let reach = Reach {
        read: settings.readable(),
        write: settings
            .write_dirs
            .iter()
            .chain([&settings.home])
            .cloned()
            // Output is thrown away there.
            .chain(["/dev/null".into()])
            .collect(),
        listen: None,
    };
    sandbox::keep(Process::Plugin, &[])?;
    // SANITY: the name has no NUL.
    let _ = nix::sys::prctl::set_name(c"s7mpa-plugin");
    // What programs leave behind is ours to kill.
    let _ = nix::sys::prctl::set_child_subreaper(true);
    sandbox::limit_children()?;
    sandbox::landlock::confine(Process::Plugin, &reach)?;
    sandbox::seccomp::confine(Process::Plugin)
}
