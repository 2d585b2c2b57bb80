//! News for who watches: a window was stored, an alert changed.
//!
//! Each is encoded once, for all who watch. One who falls behind by more than [`KEPT`] is told so by an end of its stream.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use agent_common::text;
use serde_json::json;
use tokio::sync::broadcast;

use crate::store::{Note, Window};

/// News that are kept for who comes back: some seconds of a fleet of 200 hosts, minutes of a few.
const KEPT: usize = 1_024;
/// Largest one: an alert with its evidence has some 2 KB.
const MAX_BYTES: usize = 64 << 10;

/// One piece of news, as an event of a stream (`text/event-stream`).
#[derive(Debug, Clone)]
pub struct News {
    /// Rises, also over restarts.
    pub id: u64,
    /// The whole event.
    pub event: Arc<str>,
}

/// Where news come in and go out; clones are the same.
#[derive(Debug, Clone)]
pub struct Feed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kept: Mutex<Kept>,
    out: broadcast::Sender<News>,
}

#[derive(Debug)]
struct Kept {
    next: u64,
    /// In the order of their ids.
    news: VecDeque<News>,
    /// All from this id on are kept, but for those that a later one says again.
    all_from: u64,
    /// The newest id of a window, of all hosts and by host.
    of_all: u64,
    of_host: HashMap<String, u64>,
    /// When it was last said that a host has new log lines, and the id of that.
    lines: HashMap<String, (Instant, u64)>,
}

/// How often it is said that a host has new log lines: they come several times a second.
const LINES_EVERY: Duration = Duration::from_millis(500);

/// Most hosts whose newest window is known by name; of others all windows count.
const MAX_HOSTS: usize = 10_000;

impl Default for Feed {
    fn default() -> Self {
        // Above every id of an earlier life, as long as there were no more than a million news a second.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let kept = Kept {
            next: now as u64,
            news: VecDeque::new(),
            all_from: now as u64,
            of_all: now as u64,
            of_host: HashMap::new(),
            lines: HashMap::new(),
        };
        Self(Arc::new(Inner { kept: Mutex::new(kept), out: broadcast::channel(KEPT).0 }))
    }
}

impl Feed {
    /// A window was stored.
    pub(crate) fn window(&self, window: &Window) {
        let head = &window.head;
        let data = json!({
            "host": head.host,
            "at": text::utc_ms((head.end.0 / 1_000_000) as i64),
            "span_ns": head.span_ns,
            "points": window.points,
        });
        self.heard(&head.host);
        self.put("window", &data.to_string());
    }

    /// Log lines of a host were stored.
    pub(crate) fn lines(&self, host: &str) {
        {
            let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let (now, next) = (Instant::now(), kept.next);
            let last = kept.lines.get(host).copied();
            let is_said = last.is_some_and(|(said, _)| now.duration_since(said) < LINES_EVERY);
            if is_said || last.is_none() && kept.lines.len() >= MAX_HOSTS {
                return;
            }
            // It is said again below.
            let before = last.map(|(_, id)| kept.news.binary_search_by_key(&id, |news| news.id));
            if let Some(Ok(at)) = before {
                kept.news.remove(at);
            }
            kept.lines.insert(host.to_owned(), (now, next));
        }
        self.put("log", &json!({ "host": host }).to_string());
    }

    /// The newest window of a host has another number from now on.
    pub(crate) fn heard(&self, host: &str) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let next = kept.next.max(kept.of_all + 1);
        kept.of_all = next;
        if let Some(newest) = kept.of_host.get_mut(host) {
            *newest = next;
        } else if kept.of_host.len() < MAX_HOSTS {
            kept.of_host.insert(host.to_owned(), next);
        }
    }

    /// A number that is another one after each window of a host; of all hosts, if none is named.
    pub(crate) fn newest(&self, host: Option<&str>) -> u64 {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match host.map(|host| kept.of_host.get(host)) {
            Some(Some(newest)) => *newest,
            // Nothing has come of it, or its windows are counted with all others.
            Some(None) if kept.of_host.len() < MAX_HOSTS => 0,
            _ => kept.of_all,
        }
    }

    /// An alert or a report was stored.
    pub(crate) fn note(&self, note: &Note) {
        if let Note::Alert { json, .. } = note {
            // A line end would end the event's line.
            self.put("alert", &json.replace(['\n', '\r'], " "));
        }
    }

    fn put(&self, kind: &str, data: &str) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let id = kept.next;
        kept.next += 1;
        let data = if data.len() > MAX_BYTES { "{}" } else { data };
        let news = News { id, event: format!("id: {id}\nevent: {kind}\ndata: {data}\n\n").into() };
        if kept.news.len() == KEPT {
            kept.all_from = kept.news.pop_front().map_or(id, |oldest| oldest.id + 1);
        }
        kept.news.push_back(news.clone());
        // Sent under the lock: so nobody misses one between what is kept and what comes. Without watchers it goes nowhere.
        let _ = self.0.out.send(news);
    }

    /// All that comes from now on, and before it what is kept after the one with this id; `None`: not all of that is.
    pub fn watch(&self, after: Option<u64>) -> (Option<Vec<News>>, broadcast::Receiver<News>) {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.0.out.subscribe();
        let Some(after) = after else { return (Some(Vec::new()), receiver) };
        let all = after.checked_add(1).is_some_and(|next| (kept.all_from..=kept.next).contains(&next));
        let missed = kept.news.iter().filter(|news| news.id > after).cloned().collect();
        (all.then_some(missed), receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_gets_what_came_meanwhile_or_learns_that_it_is_gone() {
        let feed = Feed::default();
        let (_, mut first) = feed.watch(None);
        feed.put("window", "{}");
        let seen = first.try_recv().unwrap();
        assert!(seen.event.starts_with(&format!("id: {}\nevent: window\ndata: {{}}\n\n", seen.id)));
        feed.put("window", "1");
        feed.put("alert", "2");
        let (missed, _) = feed.watch(Some(seen.id));
        let ids: Vec<u64> = missed.unwrap().iter().map(|news| news.id - seen.id).collect();
        assert_eq!(ids, [1, 2]);
        assert!(feed.watch(Some(seen.id + 2)).0.unwrap().is_empty(), "nothing was missed");
        for gone in [0, seen.id - 2, seen.id + 3, u64::MAX] {
            assert!(feed.watch(Some(gone)).0.is_none(), "{gone}");
        }
        for _ in 0..KEPT {
            feed.put("window", "{}");
        }
        assert!(feed.watch(Some(seen.id)).0.is_none(), "no longer kept");
        assert!(first.try_recv().is_err(), "who is too slow is told");
    }
}
