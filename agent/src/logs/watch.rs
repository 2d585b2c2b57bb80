//! What lines tell beside themselves: events of the host, patterns that are new, explode or vanish. Each becomes a line of its own, with
//! the source `event`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_common::units::UnixNs;
use agent_common::wire::finding::Class as Finding;
use logs::event::{self, Event, Events, Origin};
use logs::pattern::{Line, News, PatternId, Patterns};
use logs::{Record, Severity, Stream};

use super::recent::Recent;
use crate::clock;

/// How often it is looked for what has ended or vanished.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Lines of patterns that are told of in one sweep: a program that went mad has thousands of new ones.
const MAX_NEWS: usize = 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    stream: Stream,
    source: u64,
    position: u64,
    events: Events,
    patterns: Patterns,
    found: Vec<Event>,
    news: Vec<Record>,
    swept: Instant,
    recent: Arc<Recent>,
}

impl Watch {
    pub(super) fn new(host: &str, now: Instant, recent: Arc<Recent>) -> Self {
        let begun = clock::unix().0;
        Self {
            stream: Stream::new([("host", host), ("source", "event")]),
            // What is found twice, after a restart, is two events: its time tells.
            source: super::source_id("event", &begun.to_string()),
            position: begun,
            events: Events::new(),
            patterns: Patterns::new(),
            found: Vec::new(),
            news: Vec::new(),
            swept: now,
            recent,
        }
    }

    /// Takes a line.
    pub(super) fn line(&mut self, stream: &Stream, record: &Record, origin: Origin) {
        self.events.feed(record, origin, &mut self.found);
        let line =
            Line { message: &record.message, severity: record.severity, at: record.at, failing: false };
        let seen = self.patterns.of(stream, &line);
        self.recent.add(stream, record, seen.born);
        if let Some(news) = seen.news {
            self.tell(stream, seen.id, news, record.at);
        }
    }

    fn tell(&mut self, stream: &Stream, id: PatternId, news: News, at: UnixNs) {
        if self.news.len() >= MAX_NEWS {
            return;
        }
        let text = self.patterns.text(stream, id).unwrap_or_default();
        let who =
            ["unit", "container", "comm", "file", "source"].into_iter().find_map(|name| stream.get(name));
        let (class, what) = match news {
            News::New => ("log-new-pattern", "a line that was not seen before".to_owned()),
            News::Exploding { lines, mean } => {
                ("log-burst", format!("{lines} lines in this minute, {mean:.1} in the hour before"))
            }
            News::Vanished { period_ns, .. } => {
                let period = agent_common::text::span(Duration::from_nanos(period_ns.0));
                ("log-vanished", format!("a line that came every {period} does not come any more"))
            }
        };
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let fields = vec![
            own("class", class),
            own("subject_kind", "stream"),
            own("subject", who.unwrap_or_default()),
            own("count", "1"),
            own("pattern", &id.to_string()),
        ];
        let severity = if matches!(news, News::New) { Severity::Warning } else { Severity::Notice };
        let message = format!("{}: {what}: {text}", who.unwrap_or("a log"));
        self.news.push(Record { at, severity, pid: 0, start_ns: 0, position: 0, message, fields });
    }

    /// What was found since the last time, with its source and stream.
    pub(super) fn take(&mut self, now: Instant) -> Vec<(u64, Stream, Record)> {
        if now.saturating_duration_since(self.swept) >= SWEEP_EVERY {
            self.swept = now;
            let unix = clock::unix();
            self.events.sweep(unix, &mut self.found);
            for (stream, id, news) in self.patterns.sweep(unix) {
                self.tell(&stream, id, news, unix);
            }
            // Nobody asks for the counts of each minute yet.
            self.patterns.drop_minutes();
        }
        let events = std::mem::take(&mut self.found).into_iter().map(record);
        let all: Vec<Record> = events.chain(std::mem::take(&mut self.news)).collect();
        let mut found = Vec::with_capacity(all.len());
        for record in all {
            self.position += 1;
            found.push((self.source, self.stream.clone(), Record { position: self.position, ..record }));
        }
        found
    }
}

/// An event as a line.
fn record(event: Event) -> Record {
    let kind = serde_json::to_value(event.subject.kind).ok();
    let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default().to_owned();
    let mut fields = vec![
        ("class".to_owned(), event.class.clone()),
        ("subject_kind".to_owned(), kind),
        ("subject".to_owned(), event.subject.name.clone()),
        ("count".to_owned(), event.count.to_string()),
    ];
    if let Some(function) = event.function {
        fields.push(("function".to_owned(), function));
    }
    if let Some(class) = event::class(&event.class)
        && !class.explains.is_empty()
    {
        let explains: Vec<&str> = class.explains.iter().map(Finding::name).collect();
        fields.push(("explains".to_owned(), explains.join(",")));
    }
    Record {
        at: event.at,
        severity: event.severity,
        pid: event.subject.pid,
        start_ns: 0,
        position: 0,
        message: event.text,
        fields,
    }
}
