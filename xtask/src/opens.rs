//! Checks by text that only `opener` opens files that other users control. A new module that opens files fails the check until
//! its author has listed it with a reason.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::shell;

/// Source of the privileged process.
const PRIVILEGED: [&str; 4] = ["agent/src/", "diagnosis/src/", "flamegraphs/src/", "profile/src/"];

/// What opens or touches a path.
const CALLS: [&str; 16] = [
    "File::open(",
    "File::create(",
    "OpenOptions::new",
    "fs::read(",
    "fs::read_to_string(",
    "fs::read_dir(",
    "fs::read_link(",
    "fs::metadata(",
    "fs::symlink_metadata(",
    "fs::canonicalize(",
    "fs::copy(",
    "fs::write(",
    ".exists()",
    ".is_file()",
    "fs::openat(",
    "libc::open",
];

/// Paths in `/proc/PID` that lead to a process' files and memory: the process controls what a reader finds there.
const LEADS_ON: [&str; 7] = ["map_files/", "}/mem\"", "}/maps\"", "}/root", "}/exe\"", "}/cwd", "}/smaps"];

/// Where paths may be opened without `opener`, and why.
const ALLOWED: [(&str, &str); 22] = [
    ("agent/src/bpf/", "the kernel's own: BTF, limits, features"),
    ("agent/src/cli/", "paths that the user of the command names"),
    ("agent/src/recording/", "paths that the user of the command names"),
    ("agent/src/recording.rs", "paths that the user of the command names"),
    ("agent/src/output.rs", "paths that the user of the command names"),
    ("agent/src/replace.rs", "our own files"),
    ("agent/src/config/", "configuration, which root owns"),
    ("agent/src/control/", "our own socket and its directory"),
    (
        "agent/src/daemon/endings/host.rs",
        "whether paths are there, asked on a worker; figures of a process; the package manager's log",
    ),
    ("agent/src/daemon/", "our own directories"),
    ("agent/src/logs/", "the kernel's own: its messages, its boot; our own file of positions"),
    ("agent/src/doctor/", "the kernel's own, and our directories"),
    ("agent/src/collector.rs", "the list of processes"),
    ("agent/src/collector/", "the kernel's own, of the host and of ourselves"),
    ("agent/src/source/host", "the kernel's own, of the host"),
    ("agent/src/source/blockio.rs", "names of block devices"),
    ("agent/src/source/offcpu", "the kernel's symbols; whether a thread is there"),
    ("agent/src/source/task", "figures of a process, which the kernel answers by itself"),
    ("agent/src/source/touch.rs", "the collector's questions that may hang, asked on a worker"),
    (
        "agent/src/source/",
        "figures of a process, and where its descriptors lead, which the kernel answers by itself",
    ),
    ("flamegraphs/src/symbolize/kernel.rs", "the kernel's symbols"),
    ("flamegraphs/src/fuzz.rs", "inputs of the tests"),
];

/// Fails with each line that opens something where that is not allowed.
pub(crate) fn check(root: &Path) -> Result<()> {
    let list =
        shell::capture(std::process::Command::new("git").arg("-C").arg(root).args(["ls-files", "*.rs"]))?;
    let mut found = Vec::new();
    for name in list.lines().filter(|name| PRIVILEGED.iter().any(|part| name.starts_with(part))) {
        if name.contains("/tests") || name.contains("/testing") {
            continue;
        }
        let Ok(text) = fs::read_to_string(root.join(name)) else { continue };
        found.extend(lines(name, &text));
    }
    if found.is_empty() {
        return Ok(());
    }
    bail!(
        "these lines open paths outside of the crate `opener`; use it, or say in xtask/src/opens.rs why not:\n{}",
        found.join("\n")
    )
}

fn lines(name: &str, text: &str) -> Vec<String> {
    let allowed = ALLOWED.iter().any(|(place, _)| name.starts_with(place));
    let leads_on = name.starts_with("agent/src/doctor/") || name == "agent/src/source/touch.rs";
    let code = text.lines().zip(1..).take_while(|(line, _)| !line.contains("#[cfg(test)]"));
    code.filter(|(line, _)| !line.trim_start().starts_with("//"))
        .filter(|(line, _)| {
            let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
            // Ourselves we may follow anywhere.
            (has(&CALLS) && !allowed && !line.contains("proc/self"))
                || (has(&LEADS_ON) && !leads_on && !line.contains("proc/self"))
        })
        .map(|(line, number)| format!("{name}:{number}: {}", line.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_is_found_where_it_is_not_allowed_and_nowhere_else() {
        let open = "    let file = File::open(path)?;\n";
        assert_eq!(lines("flamegraphs/src/symbolize/new.rs", open).len(), 1);
        assert_eq!(lines("agent/src/config/layer.rs", open), [""; 0]);
        assert_eq!(lines("flamegraphs/src/x.rs", &format!("#[cfg(test)]\nmod tests {{\n{open}")), [""; 0]);
        assert_eq!(lines("flamegraphs/src/x.rs", "//! File::open(path)\n"), [""; 0]);
        let memory = "let path = format!(\"/proc/{tgid}/mem\");\n";
        assert_eq!(lines("agent/src/source/lasting.rs", memory).len(), 1);
        assert_eq!(lines("agent/src/source/touch.rs", memory), [""; 0]);
    }

    #[test]
    fn nothing_but_the_opener_opens_what_others_control() {
        check(&shell::root()).unwrap();
    }
}
