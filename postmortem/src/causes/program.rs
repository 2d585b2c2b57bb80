//! # A program that cannot run
//!
//! **Classes** `missing-library` (subject: the library, symbol or module), `not-found` (the command), `exec-format`, `exec-permission` (the program).
//!
//! **What.** The dynamic loader's words, code 127; a module that Python, Node, Ruby, Java, … cannot load; `execve` that failed in
//! what was to become a program; a shell's 126 and 127; systemd's 203. A script that exists and is “not found” lacks its
//! interpreter: then the subject is the interpreter, if it is known.
//!
//! **Neighbours.** A missing symbol or another version right after a change of package or build is `bad-upgrade`. A file that a running program
//! does not find is `not-found` of `files`.

use agent_common::wire::postmortem::{Blamed, CauseClass};

use crate::claim::{Claim, Tier, file, itself, kernel};
use crate::codes::is_shell;
use crate::hints::Hint;
use crate::scene::Scene;
use crate::trouble::{Trouble, is_library};

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let kinds = &[
        Trouble::Library,
        Trouble::Symbol,
        Trouble::Module,
        Trouble::NoCommand,
        Trouble::NoInterpreter,
        Trouble::ExecFormat,
        Trouble::ExecPermission,
    ];
    let mut claims: Vec<_> = scene.hints_of(kinds).map(|hint| of_hint(scene, hint)).collect();
    claims.extend(of_code(scene));
    claims
}

fn of_hint(scene: &Scene<'_>, hint: &Hint<'_>) -> Claim {
    let text = hint.text();
    let name = match hint.trouble {
        Trouble::Library | Trouble::Symbol | Trouble::Module => missing(text).or_else(|| hint.path()),
        Trouble::NoInterpreter => interpreter(text).or_else(|| hint.path()),
        _ => hint.path().or_else(|| command(text)),
    };
    let whom = name.clone().unwrap_or_else(|| "what it needs".into());
    let why = if text.is_empty() { String::new() } else { format!(" ({text})") };
    let (kind, what) = match hint.trouble {
        Trouble::Library => ("library", format!("could not load the library {whom}{why}")),
        Trouble::Symbol => {
            ("library", format!("could not be linked to {whom}: symbol or version is missing{why}"))
        }
        Trouble::Module => ("library", format!("could not load the module {whom}{why}")),
        Trouble::NoInterpreter => {
            ("file", format!("could not run {whom}: the interpreter does not exist{why}"))
        }
        Trouble::NoCommand => ("file", format!("could not run {whom}: there is no such program")),
        Trouble::ExecFormat => ("file", format!("could not run {whom}: it is no program for this host{why}")),
        _ => ("file", format!("could not run {whom}: it may not be executed")),
    };
    // The loader and a failed execve end a process by themselves.
    let decisive = matches!(scene.facts.ended.code, Some(126 | 127 | 203)) || scene.facts.ended.never_execed;
    let tier = if decisive { hint.tier.max(Tier::Recurs) } else { hint.tier };
    let confidence = if decisive { hint.confidence.max(0.93) } else { hint.confidence };
    let subject = Blamed { kind: kind.into(), name: name.clone(), path: name, ..Blamed::default() };
    Claim::new(hint.trouble.class(), tier, confidence, what).subject(subject).proofs(hint.proofs())
}

/// The codes of shells, without a word that was seen.
fn of_code(scene: &Scene<'_>) -> Option<Claim> {
    let process = &scene.facts.process;
    let code = scene.facts.ended.code?;
    let is_interpreter = scene.hints_of(&[Trouble::NoInterpreter]).next().is_some();
    if is_interpreter || !is_shell(&process.comm) && !scene.facts.ended.never_execed {
        return None;
    }
    let denied = || scene.reading.find(&["permission denied"]);
    let (class, what, said) = match code {
        127 => {
            let said = scene.reading.find(&["not found"]);
            // A shell ends with 127 for other errors of a script, too.
            if said.is_none() && scene.reading.complains() {
                return None;
            }
            (CauseClass::NotFound, "did not find a program", said)
        }
        126 => match scene.reading.find(&["cannot execute", "exec format"]) {
            Some(said) => {
                (CauseClass::ExecFormat, "could not run a program that is none for this host", Some(said))
            }
            None => (CauseClass::ExecPermission, "may not run a program", denied()),
        },
        _ => return None,
    };
    let name = said.and_then(|said| command(&said.text));
    let what = name.as_ref().map_or_else(|| what.to_owned(), |name| format!("{what}: {name}"));
    // More exact than a call on the way to it, as `access` of the file.
    let (tier, confidence) = if said.is_some() { (Tier::Recurs, 0.96) } else { (Tier::Call, 0.6) };
    let subject = name.map_or_else(|| itself(process), file);
    let claim = Claim::new(class, tier, confidence, what).subject(subject);
    Some(
        claim
            .proof(kernel(crate::codes::meaning(process, &scene.facts.ended), 0))
            .proofs(said.map(crate::claim::said)),
    )
}

/// What a loader or run time did not find.
pub(super) fn missing(text: &str) -> Option<String> {
    const BEFORE: &[&str] = &[
        "error while loading shared libraries: ",
        "Error loading shared library ",
        "undefined symbol: ",
        "No module named ",
        "cannot import name ",
        "Cannot find module ",
        "Cannot find package ",
        "cannot load such file -- ",
        "Can't locate ",
        "ClassNotFoundException: ",
        "NoClassDefFoundError: ",
        "could not find or load main class ",
        "Could not find or load main class ",
        "NoSuchMethodError: ",
        "UnsatisfiedLinkError: ",
        "Library not loaded: ",
        "version `",
        "file or assembly ",
        "Failed opening required ",
        "Module ",
        "module ",
    ];
    let text_of = |rest: &str| {
        let rest = rest.trim_start_matches(['\'', '"', '`', '“']);
        let end = rest.find(|c: char| c.is_whitespace() || "'\"`:,;”".contains(c)).unwrap_or(rest.len());
        Some(rest[..end].to_owned()).filter(|name| !name.is_empty())
    };
    let named = BEFORE.iter().find_map(|before| text_of(&text[text.find(before)? + before.len()..]));
    named.or_else(|| {
        let mut words = text.split(|c: char| c.is_whitespace() || "'\"`:,;()".contains(c));
        words.find(|word| is_library(word)).map(str::to_owned)
    })
}

/// The interpreter of `/x: /usr/bin/python9: bad interpreter`.
fn interpreter(text: &str) -> Option<String> {
    let at = text.find(": bad interpreter")?;
    let start = text[..at].rfind(": ").map_or(0, |start| start + 2);
    Some(text[start..at].to_owned()).filter(|name| !name.is_empty())
}

/// The command of `bash: line 1: foo: command not found`, `sh: 1: foo: not found`, `exec: "foo": executable file not found`.
fn command(text: &str) -> Option<String> {
    let signs = [
        ": command not found",
        ": not found",
        ": executable file not found",
        ": No such file",
        ": Permission denied",
        ": cannot execute",
        ": Exec format error",
        ": exec format error",
    ];
    let at = signs.iter().find_map(|sign| text.find(sign))?;
    let start = text[..at].rfind(": ").map_or(0, |start| start + 2);
    let name = text[start..at].trim_matches(['"', '\'', '`']);
    Some(name.to_owned()).filter(|name| !name.is_empty() && name.len() <= 256)
}
