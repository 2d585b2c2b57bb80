//! A profile as a picture: title, what it covers, colours.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use agent_common::abi::sched::State;
use diagnosis::groups::Group;
use flamegraphs::{SvgOptions, Theme, svg};
use profile::reason;

use crate::cli::term;
use crate::control::protocol::{Profile, Target};

/// The picture as text.
pub(in crate::cli) fn svg(profile: &Profile) -> String {
    let mut out = Vec::new();
    // A vector takes everything, and the picture is text.
    let _ = write(profile, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

pub(super) fn write(profile: &Profile, out: &mut impl Write) -> io::Result<()> {
    let waits = profile.mode.has_waits();
    let mut options = SvgOptions {
        title: title(profile),
        subtitle: Some(subtitle(profile)),
        count_name: if waits { "ns" } else { "samples" }.to_owned(),
        empty_reason: profile.folded.is_empty().then(|| empty_reason(profile)),
        theme: if profile.mode.has_samples() { Theme::Ran } else { Theme::Waited },
        ..SvgOptions::default()
    };
    if waits {
        options.tints = State::ALL.map(|state| (reason(state).to_string(), Group::of(state).rgb())).into();
    }
    svg::write(&profile.folded, &options, out)
}

pub(super) fn title(profile: &Profile) -> String {
    let what = profile.mode.title();
    let comm = profile.comm.as_deref().map(term::clean);
    let subject = match (profile.target, comm) {
        (Target::Pid(pid), Some(comm)) => format!("{what} of {comm} ({pid})"),
        (Target::Pid(pid), None) => format!("{what} of process {pid}"),
        (Target::All, Some(comm)) => format!("{what} of {comm} and what it started"),
        (Target::All, None) => format!("{what} of all processes"),
    };
    match &profile.when {
        Some(when) => format!("{subject}, {}", term::clean(when)),
        None => subject,
    }
}

/// What the picture covers: samples or waits, time, loss by reason, names.
pub(super) fn subtitle(profile: &Profile) -> String {
    let coverage = &profile.coverage;
    let time = term::span(Duration::from_secs_f64(profile.window_s));
    let mut text = String::new();
    if profile.mode.has_waits() {
        let _ =
            write!(text, "{} waits in {time} stand for {}", profile.waits, term::nanos(profile.waited_ns));
        if let Some(blocked) = profile.blocked_ns.filter(|blocked| *blocked > 0) {
            let pct = profile.waited_ns as f64 * 100.0 / blocked as f64;
            let _ = write!(text, ", {pct:.0}% of {} blocked", term::nanos(blocked));
        }
    }
    if profile.mode.has_samples() {
        let gap = if text.is_empty() { "" } else { "; " };
        let _ = write!(
            text,
            "{gap}{} samples in {time} at {} Hz; captured {} of {} expected",
            profile.samples, profile.rate_hz, coverage.captured, coverage.expected,
        );
    }
    for loss in coverage.losses() {
        let _ = write!(text, ", {loss}");
    }
    if let Some(stacks) = coverage.stacks_text().filter(|_| profile.mode.has_samples()) {
        let _ = write!(text, "; {stacks}");
    }
    if profile.folded.names.frames > 0 {
        let _ = write!(text, "; {}", profile.folded.names);
    }
    text
}

pub(super) fn empty_reason(profile: &Profile) -> String {
    let time = term::span(Duration::from_secs_f64(profile.window_s));
    let (samples, waits) = (profile.mode.has_samples(), profile.mode.has_waits());
    if waits && !samples {
        return match profile.blocked_ns {
            None => format!(
                "No waits were looked at in {time}: there is no scheduler accounting (`agent doctor` says why)."
            ),
            Some(0) => format!("It did not wait in {time}."),
            Some(blocked) => format!(
                "It was blocked for {}, but no wait that long ended in {time}. Try a longer --duration, or `agent report`.",
                term::nanos(blocked)
            ),
        };
    }
    match profile.target {
        Target::Pid(_) => format!(
            "Not once on a CPU when sampled in {time}: it sleeps, waits or has ended. Try `--mode off-cpu`."
        ),
        Target::All if profile.comm.is_some() => {
            format!(
                "Not once on a CPU when sampled {} times a second in {time}: it slept, or was too short. Try `--mode wall`, or \
                 --rate 997.",
                profile.rate_hz
            )
        }
        Target::All => format!("No process ran when sampled in {time}."),
    }
}
