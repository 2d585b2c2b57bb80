//! What a graph is of, and what it covers.

use agent_common::units::UnixNs;
use agent_common::wire::report::Coverage;
use profile::block::{Block, Looked};
use profile::graph::View;
use profile::{Mode, NameCoverage};
use serde_json::{Value, json};

use crate::api::v1::ask::utc;

/// What it is of.
#[derive(Debug, Clone)]
pub(in crate::api::v1) struct About {
    pub(super) from: UnixNs,
    pub(super) to: UnixNs,
    pub(super) hosts: Vec<String>,
    /// The interval that it is compared with.
    pub(super) base: Option<(UnixNs, UnixNs)>,
    rate_hz: u32,
    samples: u64,
    waits: u64,
    waited_ns: u64,
    coverage: Coverage,
    names: NameCoverage,
}

impl About {
    /// Of a block. `some`: of processes that were chosen.
    pub(in crate::api::v1) fn new(
        block: &Block,
        (from, to): (UnixNs, UnixNs),
        hosts: Vec<String>,
        some: bool,
    ) -> Self {
        let (samples, _) = block.total(Looked::Cpu);
        let (waits, waited_ns) = block.total(Looked::Wait);
        let mut names = NameCoverage::default();
        if !some {
            for looked in Looked::ALL {
                names.add(&block.names(looked));
            }
        }
        Self {
            from,
            to,
            hosts,
            base: None,
            rate_hz: block.rate_hz,
            samples,
            waits,
            waited_ns,
            coverage: block.coverage(some),
            names,
        }
    }

    /// What of `view` is said.
    pub(super) fn json(&self, mode: Mode, view: &View) -> Value {
        let (root, graph) = (&view.graph.nodes[0], &view.graph);
        let mut all = json!({
            "kind": mode.name(),
            "unit": unit(mode),
            "from": utc(self.from),
            "to": utc(self.to),
            "hosts": self.hosts,
            "rate_hz": self.rate_hz,
            "total": root.value,
            "root": view.root,
            "hidden": view.hidden,
            "cut": graph.cut,
            "covers": {
                "samples": self.samples,
                "waits": self.waits,
                "waited_ns": self.waited_ns,
                "expected": self.coverage.expected,
                "captured": self.coverage.captured,
                "lost": self.coverage.lost,
                "frames": self.names.frames,
                "named_frames": self.names.named,
            },
        });
        if let Some((from, to)) = self.base {
            all["base_from"] = utc(from).into();
            all["base_to"] = utc(to).into();
            all["base_total"] = root.base.into();
        }
        all
    }

    /// The heading of a picture.
    pub(super) fn title(&self, mode: Mode) -> String {
        let of = match self.hosts.as_slice() {
            [] => String::new(),
            [host] => format!(" on {host}"),
            hosts => format!(" on {} hosts", hosts.len()),
        };
        format!("{}, {} to {}{of}", mode.title(), utc(self.from), utc(self.to))
    }

    /// What it covers, in a sentence.
    pub(super) fn sentence(&self, mode: Mode) -> String {
        let mut parts = Vec::new();
        if mode.has_waits() {
            let seconds = self.waited_ns as f64 / 1e9;
            parts.push(format!("{} waits stand for {seconds:.1} s", self.waits));
        }
        if mode.has_samples() {
            parts.push(format!(
                "{} samples at {} Hz; captured {} of {} expected",
                self.samples, self.rate_hz, self.coverage.captured, self.coverage.expected
            ));
        }
        parts.extend(self.coverage.losses());
        if self.names.frames > 0 {
            parts.push(self.names.to_string());
        }
        parts.join("; ")
    }

    /// As the writers of the crate `flamegraphs` have it.
    pub(super) fn of_file(&self, mode: Mode) -> flamegraphs::About {
        let waits = mode.has_waits();
        flamegraphs::About {
            title: self.title(mode),
            coverage: Some(self.sentence(mode)),
            unit: if waits { flamegraphs::Unit::Nanoseconds } else { flamegraphs::Unit::Samples },
            period_ns: if waits { 0 } else { 1_000_000_000 / u64::from(self.rate_hz.max(1)) },
            start_unix_ns: self.from.0,
            duration_ns: self.to.0.saturating_sub(self.from.0),
            producer: concat!("s7mpa ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// What a weight is.
pub(super) const fn unit(mode: Mode) -> &'static str {
    if mode.has_waits() { "ns" } else { "samples" }
}
