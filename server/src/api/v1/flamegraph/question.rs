//! What a request asks for: parameters in its address.

use agent_common::units::UnixNs;
use axum::http::StatusCode;
use profile::block::Looked;
use profile::graph::{Part, ROOT_ID};
use profile::{Mode, Parts, Roots};

use crate::activity::Interval;
use crate::api::problem::Problem;
use crate::api::v1::ask::{Ask, ns, process_id, wrong};
use crate::store::profiles::{By, Selection};

/// Length of an interval that is not said, ms.
const DEFAULT_MS: i64 = 60_000;
/// Longest interval: all that is kept, and a day.
pub(super) const MAX_MS: i64 = 8 * 24 * 3_600_000;
/// Nodes of an answer, unless it asks for another number …
const NODES: usize = 100_000;
/// … and at most.
const MAX_NODES: usize = 1_000_000;
/// Least share of the graph that a node has, unless it is said: a fifth of a pixel of a wide screen.
const LEAST_SHARE: f64 = 0.000_05;

/// How a graph is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api::v1) enum Format {
    /// As a page reads it (`profile::graph`).
    Binary,
    /// The same as lists.
    Json,
    /// Google's.
    Pprof,
    /// One stack a line.
    Folded,
    /// A picture.
    Svg,
}

impl Format {
    const ALL: [(&str, Self); 5] = [
        ("binary", Self::Binary),
        ("json", Self::Json),
        ("pprof", Self::Pprof),
        ("folded", Self::Folded),
        ("svg", Self::Svg),
    ];
}

/// How stacks are shown.
#[derive(Debug, Clone)]
pub(in crate::api::v1) struct Shape {
    pub(super) mode: Mode,
    pub(super) no_idle: bool,
    pub(super) parts: Parts,
    pub(super) roots: Roots,
    pub(in crate::api::v1) format: Format,
    pub(super) part: Part,
}

/// What of.
#[derive(Debug, Clone)]
pub(super) enum Of {
    /// What an alert has as evidence.
    Alert(String),
    /// What is kept of a time.
    Time {
        selection: Box<Selection>,
        /// The time to compare it with.
        base: Option<Box<Selection>>,
    },
}

/// All of it.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) of: Of,
    pub(super) start_ms: Option<u64>,
    pub(super) shape: Shape,
    /// Its processes; of no time.
    pub(super) processes: Selection,
}

impl Shape {
    pub(in crate::api::v1) fn of(ask: &Ask) -> Result<Self, Problem> {
        let mode = ask.parsed("kind", "on-cpu, off-cpu, wall or wakers")?.unwrap_or_default();
        let roots = [
            ("comm", Roots::Comm),
            ("process", Roots::Process),
            ("place", Roots::Group),
            ("none", Roots::None),
        ];
        let parts = [("both", Parts::Both), ("kernel", Parts::Kernel), ("user", Parts::User)];
        let parts = one_of(ask, "parts", &parts)?.unwrap_or_default();
        if mode == Mode::Wakers && parts != Parts::Both {
            let detail = "parts: the stacks of who ended the waits cannot be divided";
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        Ok(Self {
            mode,
            no_idle: !ask.flag("idle")?,
            parts,
            roots: one_of(ask, "by", &roots)?.unwrap_or(Roots::Comm),
            format: one_of(ask, "format", &Format::ALL)?.unwrap_or(Format::Json),
            part: part(ask)?,
        })
    }

    /// What must be read for it.
    pub(super) fn looked(&self) -> Vec<Looked> {
        let wanted = |looked: &Looked| match looked {
            Looked::Cpu => self.mode.has_samples(),
            Looked::Wait => self.mode.has_waits(),
        };
        Looked::ALL.into_iter().filter(wanted).collect()
    }
}

impl Question {
    pub(super) fn of(ask: &Ask) -> Result<Self, Problem> {
        let shape = Shape::of(ask)?;
        let start_ms = ask.start_ms()?;
        let processes = selection(ask, Interval { from_ms: 0, to_ms: 0 })?;
        if start_ms.is_some() && processes.pids.is_empty() {
            let detail = "start_ms: it tells a process from others that had its pid; say that, too";
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        let of = if let Some(alert) = ask.get("alert") {
            Of::Alert(alert.to_owned())
        } else {
            let interval = ask.interval_of(DEFAULT_MS, MAX_MS)?;
            let by_process = shape.roots == Roots::Process || shape.format == Format::Pprof;
            let by = if by_process || start_ms.is_some() { By::Process } else { By::Comm };
            let (from, to) = ends(interval);
            let selection = Selection { from, to, by, looked: shape.looked(), ..processes.clone() };
            let base = ask.base(interval, MAX_MS)?.map(|base| {
                let (from, to) = ends(base);
                Box::new(Selection { from, to, ..selection.clone() })
            });
            if base.is_some() && shape.format == Format::Pprof {
                let detail = "format: a difference is written as binary, json, folded or svg";
                return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
            }
            Of::Time { selection: Box::new(selection), base }
        };
        Ok(Self { of, start_ms, shape, processes })
    }

    /// Some processes were chosen.
    pub(super) fn some(&self) -> bool {
        let Selection { pids, comms, places, .. } = &self.processes;
        !pids.is_empty() || !comms.is_empty() || !places.is_empty()
    }
}

/// Hosts and processes of a question about an interval.
pub(in crate::api::v1) fn selection(ask: &Ask, interval: Interval) -> Result<Selection, Problem> {
    let (from, to) = ends(interval);
    Ok(Selection {
        hosts: ask.all("host")?,
        pids: pids(ask)?,
        comms: ask.all("comm")?,
        places: ask.all("place")?,
        ..Selection::new(from, to)
    })
}

fn ends(interval: Interval) -> (UnixNs, UnixNs) {
    (ns(interval.from_ms), ns(interval.to_ms))
}

fn pids(ask: &Ask) -> Result<Vec<u32>, Problem> {
    let all = ask.all("pid")?;
    all.iter().map(|pid| process_id(pid)).collect()
}

fn part(ask: &Ask) -> Result<Part, Problem> {
    let least_share = ask.parsed("least_share", "a number")?.unwrap_or(LEAST_SHARE);
    if !(0.0..=1.0).contains(&least_share) {
        return Err(wrong("least_share", &least_share.to_string(), "a number between 0 and 1"));
    }
    let max_nodes = ask.parsed("max_nodes", "a whole number")?.unwrap_or(NODES);
    if !(1..=MAX_NODES).contains(&max_nodes) {
        return Err(wrong(
            "max_nodes",
            &max_nodes.to_string(),
            &format!("a number between 1 and {MAX_NODES}"),
        ));
    }
    let under = match ask.get("under") {
        None => ROOT_ID,
        Some(text) => {
            let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let id = u64::from_str_radix(text, 16).ok().filter(|_| is_hex);
            id.ok_or_else(|| wrong("under", text, "the id of a node, 16 hexadecimal digits"))?
        }
    };
    Ok(Part { under, least_share, max_nodes })
}

fn one_of<T: Clone>(ask: &Ask, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Problem> {
    let Some(text) = ask.get(name) else { return Ok(None) };
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| value.clone());
    let all = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    found.map(Some).ok_or_else(|| wrong(name, text, &format!("one of {}", all())))
}
