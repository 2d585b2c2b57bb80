//! The page of `agent report --html`: one file that needs nothing else, for a ticket or a colleague.
//!
//! Names of processes, cgroups and functions are other people's words. Each goes through [`text`]; a content policy
//! forbids the page to load anything or to run scripts of its own, and the flame graphs, whose scripts zoom and search,
//! are in frames without an origin.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_common::text::cleaned;
use agent_common::wire::finding::Finding;
use agent_common::wire::report::{ProcessDetail, Report, ReportProcess};
use anyhow::Context as _;
use diagnosis::groups::Group;
use profile::Mode;

use super::flamegraph;
use super::report::{calm, foot, groups, lines, number};
use super::term;
use crate::control::protocol::{Page, Profile};
use crate::output::{self, OutputMode};

/// Most frames of a stack in a finding.
const MAX_FRAMES: usize = 16;

/// What the page may do: show itself, with its own style, and the graphs in their frames.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; script-src 'unsafe-inline'";

/// Where the page goes. Opened before the probes are attached.
#[derive(Debug)]
pub(super) struct Output {
    file: Option<(output::Output, PathBuf)>,
}

impl Output {
    /// `-` is stdout.
    pub(super) fn create(path: &Path, mode: OutputMode) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self { file: None });
        }
        let file =
            output::Output::create(path, mode).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { file: Some((file, path.to_owned())) })
    }

    pub(super) fn write(self, text: &str) -> anyhow::Result<()> {
        match self.file {
            Some((mut file, path)) => {
                file.file()
                    .write_all(text.as_bytes())
                    .and_then(|()| file.finish())
                    .with_context(|| format!("cannot write {}", path.display()))?;
                term::complain(&format!("{}: {}", path.display(), term::bytes(text.len() as u64)));
                Ok(())
            }
            None => Ok(io::stdout().lock().write_all(text.as_bytes())?),
        }
    }
}

/// Foreign text as it may stand in an element and in a quoted attribute.
fn text(foreign: &str) -> String {
    let mut safe = String::with_capacity(foreign.len());
    // Marks that turn the direction of writing make a name look like another.
    for char in cleaned(foreign).chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            char => safe.push(char),
        }
    }
    safe
}

/// The page.
pub(super) fn page(page: &Page, rows: usize) -> String {
    let report = &page.report;
    let title = text(&format!("{} on {}", "s7mpa report", report.host));
    let mood = if calm(report) { "good" } else { "bad" };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n\
         <h1 class=\"{mood}\">{}</h1>\n<p class=\"dim\">{}: {} until {}</p>\n",
        include_str!("html.css"),
        text(&report.verdict),
        text(&report.host),
        term::span(Duration::from_secs_f64(report.window_s)),
        term::utc(page.until_unix_ns),
    );
    if !report.findings.is_empty() {
        out.push_str("<h2>What was found</h2>\n");
    }
    for (at, finding) in report.findings.iter().enumerate() {
        out.push_str(&one_finding(at + 1, finding));
    }
    out.push_str("<h2>Where the time of each process went</h2>\n");
    out.push_str(&processes(report, rows));
    if let Some(detail) = &report.process {
        out.push_str(&details(detail, report.window_s));
    }
    for graph in &page.graphs {
        out.push_str(&one_graph(graph));
    }
    out.push_str("<h2>What this rests on</h2>\n<div class=\"card\">\n");
    for line in foot(report).lines() {
        let _ = writeln!(out, "<p>{}</p>", text(line));
    }
    for unknown in &report.unknown {
        let _ = writeln!(out, "<p class=\"dim\">not known here: {}</p>", text(unknown));
    }
    let _ = writeln!(
        out,
        "</div>\n<p class=\"dim\">made by agent {}</p>\n</body>\n</html>",
        env!("CARGO_PKG_VERSION")
    );
    out
}

fn who(kind: &str, pid: Option<u32>, comm: Option<&String>) -> String {
    let name = text(comm.map_or(kind, String::as_str));
    pid.map_or_else(|| name.clone(), |pid| format!("{name} ({pid})"))
}

fn within(finding: &Finding, pid: Option<u32>) -> String {
    finding.place(pid).map_or_else(String::new, |place| format!(" in {}", text(&place)))
}

fn one_finding(at: usize, finding: &Finding) -> String {
    let subject = &finding.subject;
    let mut out = format!(
        "<div class=\"card finding\">\n<h3>{at}. {}{} <span class=\"class\">{}</span></h3>\n\
         <p>{} lost per second, {:.0} % of its time; confidence {:.0} %</p>\n",
        who(&subject.kind, subject.pid, subject.comm.as_ref()),
        within(finding, subject.pid),
        text(&finding.class),
        term::nanos(finding.lost_ns_per_s),
        finding.share_pct,
        finding.confidence * 100.0,
    );
    if let Some(headline) = &finding.headline {
        let _ = writeln!(out, "<p><strong>{}</strong></p>", text(headline));
    }
    if let Some(culprit) = &finding.culprit {
        let other = culprit.pid.filter(|pid| Some(*pid) != subject.pid);
        let culprit = who(&culprit.kind, culprit.pid, culprit.comm.as_ref());
        let _ = writeln!(out, "<p>caused by <strong>{culprit}</strong>{}</p>", within(finding, other));
    }
    list(
        &mut out,
        finding.evidence.iter().map(|evidence| {
            let limit = evidence.threshold.map(|limit| {
                let side = evidence.side.name();
                format!(" <span class=\"dim\">(alert {side} {})</span>", number(limit))
            });
            let (what, unit) = (text(&evidence.what), text(evidence.shown_unit()));
            let line = format!("{what}: <strong>{}</strong> {unit}", number(evidence.value));
            format!("{}{}", line.trim_end(), limit.unwrap_or_default())
        }),
    );
    for (part, line) in lines(&finding.stacks, MAX_FRAMES) {
        let _ = writeln!(out, "<pre><span class=\"dim\">{part:>3.0}%</span> {}</pre>", text(&line));
    }
    list(&mut out, finding.caused.iter().map(|caused| format!("explains {}", text(caused))));
    if !finding.alternatives.is_empty() {
        out.push_str("<details><summary>What else was considered</summary>\n");
        list(
            &mut out,
            finding
                .alternatives
                .iter()
                .map(|other| format!("not <code>{}</code>: {}", text(&other.class), text(&other.why_not))),
        );
        out.push_str("</details>\n");
    }
    let _ = writeln!(out, "<p class=\"advice\">→ {}</p>\n</div>", text(&finding.advice));
    out
}

fn list(out: &mut String, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.map(|item| format!("<li>{item}</li>\n")).collect();
    if !items.is_empty() {
        let _ = write!(out, "<ul>\n{}</ul>\n", items.concat());
    }
}

fn colour(group: Group) -> String {
    let [r, g, b] = group.rgb();
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// One bar that is all of the wall time; each part says what it is when pointed at.
fn bar(states: &std::collections::BTreeMap<String, u64>) -> String {
    let total: u64 = states.values().sum();
    let mut parts: Vec<(Group, &String, u64)> =
        states.iter().filter(|(_, ns)| **ns > 0).map(|(key, ns)| (Group::of_key(key), key, *ns)).collect();
    parts.sort_by_key(|(group, _, ns)| (*group, std::cmp::Reverse(*ns)));
    let mut out = String::from("<div class=\"bar\">");
    for (group, key, ns) in parts {
        let pct = ns as f64 * 100.0 / total as f64;
        let name = text(key.strip_suffix("_ns").unwrap_or(key));
        let _ = write!(
            out,
            "<i style=\"width:{pct:.3}%;background:{}\" title=\"{name}: {} ({pct:.1} %)\"></i>",
            colour(group),
            term::nanos(ns)
        );
    }
    out.push_str("</div>");
    out
}

fn legend<'a>(states: impl Iterator<Item = &'a std::collections::BTreeMap<String, u64>>) -> String {
    let mut sums = [0; Group::ALL.len()];
    for one in states {
        for (sum, more) in sums.iter_mut().zip(groups(one)) {
            *sum += more;
        }
    }
    let mut out = String::from("<p class=\"legend\">");
    for (group, _) in Group::ALL.into_iter().zip(sums).filter(|(_, sum)| *sum > 0) {
        let _ = write!(out, "<span><i style=\"background:{}\"></i>{}</span>", colour(group), group.name());
    }
    out + "</p>\n"
}

/// Percent of one CPU's or thread's time.
fn pct(ns: u64, window_s: f64) -> String {
    if ns == 0 || window_s <= 0.0 { String::new() } else { format!("{:.1} %", ns as f64 / (window_s * 1e7)) }
}

fn processes(report: &Report, rows: usize) -> String {
    let limit = if rows == 0 { usize::MAX } else { rows };
    let mut out = String::from(
        "<div class=\"card\">\n<table>\n<tr><th class=\"n\">pid</th><th>name</th><th class=\"n\">held up</th><th>threads × time</th>\
         <th class=\"n\">user</th><th class=\"n\">kernel</th><th class=\"n\">syscalls</th><th class=\"n\">errors</th>\
         <th class=\"n\">memory</th><th class=\"n\">disk</th></tr>\n",
    );
    let some = |n: u64, show: fn(u64) -> String| if n == 0 { String::new() } else { show(n) };
    let shown: Vec<&ReportProcess> = report.processes.iter().take(limit).collect();
    for process in &shown {
        let state = |name: &str| pct(process.states.get(name).copied().unwrap_or(0), report.window_s);
        let pid = if process.pid == 0 { String::new() } else { process.pid.to_string() };
        let _ = writeln!(
            out,
            "<tr><td class=\"n\">{pid}</td><td class=\"name\" title=\"{}\">{}</td><td class=\"n\">{}</td><td class=\"wide\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td></tr>",
            text(&process.cgroup),
            text(&process.comm),
            pct(process.lost_ns, report.window_s),
            bar(&process.states),
            state("oncpu_user_ns"),
            state("oncpu_kernel_ns"),
            some(process.syscalls, term::count),
            some(process.syscall_errors, term::count),
            some(process.rss_bytes, term::bytes),
            some(process.io_bytes, term::bytes),
        );
    }
    out.push_str("</table>\n");
    out.push_str(&legend(shown.iter().map(|process| &process.states)));
    if report.processes.len() > limit {
        let _ = writeln!(out, "<p class=\"dim\">{} more (-n 0 for all)</p>", report.processes.len() - limit);
    }
    out + "</div>\n"
}

fn details(detail: &ProcessDetail, window_s: f64) -> String {
    let mut out = String::new();
    if !detail.threads.is_empty() {
        out.push_str("<h2>Its threads</h2>\n<div class=\"card\">\n<table>\n<tr><th class=\"n\">tid</th><th>name</th><th class=\"n\">held up</th><th>time</th></tr>\n");
        for thread in &detail.threads {
            let (name, lost) = (text(&thread.comm), pct(thread.lost_ns, window_s));
            let _ = writeln!(
                out,
                "<tr><td class=\"n\">{}</td><td class=\"name\">{name}</td><td class=\"n\">{lost}</td><td class=\"wide\">{}</td></tr>",
                thread.tid,
                bar(&thread.states)
            );
        }
        out.push_str("</table>\n");
        out.push_str(&legend(detail.threads.iter().map(|thread| &thread.states)));
        out.push_str("</div>\n");
    }
    if !detail.waits.is_empty() {
        out.push_str("<h2>What they waited for</h2>\n<div class=\"card\">\n<table>\n<tr><th class=\"n\">time</th><th>for</th><th>in</th><th class=\"n\">longest</th><th>ended by</th><th>what</th></tr>\n");
        for wait in &detail.waits {
            let cell = |cell: &Option<String>| text(cell.as_deref().unwrap_or_default());
            let _ = writeln!(
                out,
                "<tr><td class=\"n\">{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"name\">{}</td><td>{}</td></tr>",
                term::nanos(wait.waited_ns),
                text(&wait.state),
                cell(&wait.syscall),
                term::nanos(wait.max_ns),
                cell(&wait.waker),
                cell(&wait.target),
            );
        }
        out.push_str("</table>\n</div>\n");
    }
    if !detail.ran_meanwhile.is_empty() {
        out.push_str("<h2>Who ran while they waited for a CPU</h2>\n<div class=\"card\">\n<table>\n<tr><th class=\"n\">time</th><th>name</th><th class=\"n\">pid</th></tr>\n");
        for ran in &detail.ran_meanwhile {
            let _ = writeln!(
                out,
                "<tr><td class=\"n\">{}</td><td class=\"name\">{}</td><td class=\"n\">{}</td></tr>",
                term::nanos(ran.waited_ns),
                text(&ran.comm),
                ran.pid
            );
        }
        out.push_str("</table>\n</div>\n");
    }
    out
}

/// A flame graph in a frame without an origin: its script may zoom and search, and reach nothing.
fn one_graph(graph: &Profile) -> String {
    let heading = match graph.mode {
        Mode::OnCpu => "Where CPU time went",
        Mode::OffCpu => "Where threads waited, and what for",
        Mode::Wall => "Where time went, running and waiting",
        Mode::Wakers => "Where threads waited, and who ended it",
    };
    let svg = flamegraph::svg(graph);
    let height = svg_height(&svg).unwrap_or(600);
    format!(
        "<h2>{heading}</h2>\n<div class=\"card graph\">\n<iframe sandbox=\"allow-scripts allow-modals\" title=\"{heading}\" \
         style=\"height:{height}px\" srcdoc=\"{}\"></iframe>\n</div>\n",
        text_kept(&svg)
    )
}

/// Text for an attribute, line ends kept: scripts need them.
fn text_kept(svg: &str) -> String {
    // The prologue is XML's; a frame's document is HTML with the picture in it.
    let body = svg.find("<svg").map_or(svg, |at| &svg[at..]);
    // Zoom and search want to note themselves in the address, which a frame without an origin may not change.
    let document = format!(
        "<!doctype html><meta charset=\"utf-8\"><style>body{{margin:0}}body>svg{{width:100%;height:auto;display:block}}</style>\
         <script>history.replaceState=function(){{}}</script>{body}"
    );
    document.replace('&', "&amp;").replace('"', "&quot;")
}

fn svg_height(svg: &str) -> Option<u32> {
    let from = svg.find("viewBox=\"")? + "viewBox=\"".len();
    let rest = &svg[from..];
    rest[..rest.find('"')?].split(' ').nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests;
