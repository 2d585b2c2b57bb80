//! `--last`, in the time of each host; `--from` and `--to` as they are.

use std::time::Duration;

use agent_common::units::UnixNs;
use server::store::embedded::{Reader, Selection, Tags};
use server::store::{SKEW_TOLERANCE, StoreError};

use super::super::term;
use super::QueryArgs;

/// Tag that names the host.
pub(super) const HOST: &str = "host";

/// A span of time, of one host or of all the others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// A host whose clock is ahead; `None`: all others.
    pub(super) host: Option<String>,
    /// First time.
    pub(super) from: UnixNs,
    /// Time past the last.
    pub(super) to: UnixNs,
}

/// The spans to read: first that of all hosts whose clock is right, then one for each whose clock is ahead, which ends
/// with its newest window. In the span of the others nothing of such a host may be, or all of it too late to be shown.
pub(super) struct Spans(pub(super) Vec<Span>);

impl Spans {
    /// Spans of the question; for `--last` says on stderr whose clock is ahead, and by how much.
    pub(super) fn of(args: &QueryArgs, reader: &Reader) -> Result<Self, StoreError> {
        if let Some(from) = args.from {
            let to = args.to.unwrap_or(UnixNs(u64::MAX));
            return Ok(Self(vec![Span { host: None, from, to }]));
        }
        let now = crate::clock::unix();
        let mut ahead = reader.hosts_ahead(now)?;
        if let Some((_, wanted)) = args.tags.iter().find(|(name, _)| name == HOST) {
            ahead.retain(|(host, _)| host == wanted);
        }
        for (host, newest) in &ahead {
            let skew = Duration::from_secs(newest.0.saturating_sub(now.0) / 1_000_000_000);
            term::complain(&format!(
                "{}: its clock is {} ahead of this one; times are its own, --last counts from its newest window",
                term::clean(host),
                term::span(skew)
            ));
        }
        Ok(Self::new(args.last, now, ahead))
    }

    fn new(last: Duration, now: UnixNs, ahead: Vec<(String, UnixNs)>) -> Self {
        let span = |host, end: u64| {
            let from = UnixNs(end.saturating_sub(last.as_nanos() as u64));
            Span { host, from, to: UnixNs(end.saturating_add(SKEW_TOLERANCE.as_nanos() as u64)) }
        };
        let others = std::iter::once(span(None, now.0));
        Self(others.chain(ahead.into_iter().map(|(host, end)| span(Some(host), end.0))).collect())
    }

    /// Whether what this host sent is to be read in this span.
    pub(super) fn is_of(&self, span: &Span, host: Option<&str>) -> bool {
        span.host.is_some()
            || !self.0.iter().any(|other| other.host.is_some() && other.host.as_deref() == host)
    }

    /// Reads the selection of each span, in order of tags.
    pub(super) fn read<T>(
        &self,
        selections: &[Selection],
        read: impl Fn(&Selection) -> Result<Vec<T>, StoreError>,
        tags: impl Fn(&T) -> &Tags,
    ) -> Result<Vec<T>, StoreError> {
        let host = |one: &T| tags(one).iter().find(|(name, _)| name == HOST).map(|(_, host)| host.clone());
        let mut all = Vec::new();
        for (span, selection) in self.0.iter().zip(selections) {
            all.extend(read(selection)?.into_iter().filter(|one| self.is_of(span, host(one).as_deref())));
        }
        all.sort_by(|a, b| tags(a).cmp(tags(b)));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    #[test]
    fn each_host_is_read_in_its_own_time() {
        let (now, day) = (UnixNs(10_000 * MINUTE), 1440 * MINUTE);
        let spans = Spans::new(Duration::from_mins(10), now, vec![("ahead".to_owned(), UnixNs(now.0 + day))]);
        let from: Vec<_> = spans.0.iter().map(|span| span.from.0 / MINUTE).collect();
        assert_eq!(from, [9_990, 9_990 + 1440]);
        assert!(spans.0.iter().all(|span| span.to.0 - span.from.0 == 10 * MINUTE + 10_000_000_000));
        assert!(spans.is_of(&spans.0[0], Some("right")) && !spans.is_of(&spans.0[0], Some("ahead")));
        assert!(spans.is_of(&spans.0[0], None) && spans.is_of(&spans.0[1], Some("ahead")));
    }
}
