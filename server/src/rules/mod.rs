//! Rule files over the embedded store: what they record goes into the store, their alerts are alerts like ours.
//!
//! One thread evaluates all groups, one after the other, each at the multiples of its interval. A group sees one state of the
//! store and, in it, what its earlier rules have just recorded ([`overlay`]). What a group records, `ALERTS` included, is one
//! window of a stream of the group's own ([`record`]): a series that the next window lacks has ended, as in Prometheus.

mod board;
mod evaluate;
mod message;
mod overlay;
mod record;
mod restore;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use agent_common::settings::server;
use agent_common::wire::finding::Alert;
use promql::{Group, Macros};

pub use self::board::{Board, GroupStatus, RuleStatus};
use self::evaluate::Evaluated;
use crate::clock::now_ms;
use crate::store::Store;

/// Most groups of all files.
pub const MAX_GROUPS: usize = 200;
/// Most rules of all files.
pub const MAX_RULES: usize = 2_000;
/// Longest time that the evaluation of a group may take, unless its interval is shorter.
pub const MAX_GROUP_TIME: Duration = Duration::from_secs(10);
/// Shortest interval of a group.
const MIN_INTERVAL_MS: i64 = 1_000;

/// Most alerts that wait to be passed on ([`post_to`]).
pub const MAX_WAITING_ALERTS: usize = 512;

/// Takes the changes of alerts. It does not wait: where it has no room, the alert is lost, and counted by whoever made it.
pub type Post = Box<dyn FnMut(&Alert) + Send>;

/// Passes the changes of alerts to whoever receives from this channel, and says where it has no room.
pub fn post_to(alerts: tokio::sync::mpsc::Sender<Alert>) -> Post {
    Box::new(move |alert| {
        if alerts.try_send(alert.clone()).is_err() {
            let id = agent_common::text::clean(&alert.id);
            tracing::warn!(id, "an alert of a rule is not passed on: too many at once");
        }
    })
}

/// The interval of a group: its own, else that of the settings.
fn interval_ms(group: &Group, of_settings_ms: i64) -> i64 {
    group.interval_ms.unwrap_or(of_settings_ms).max(MIN_INTERVAL_MS)
}

/// Rules that were understood.
#[derive(Debug)]
pub struct Loaded {
    groups: Vec<(String, Group)>,
    macros: Macros,
    interval_ms: i64,
    host: String,
    /// What is wrong with the files, one line each: `path:line:column: message; cure`.
    pub faults: Vec<String>,
}

impl Loaded {
    /// Reads all rules of the settings. A rule that is wrong is left out, and told; the others are evaluated.
    pub fn read(settings: &server::Rules) -> Self {
        let mut faults = Vec::new();
        let macros = Macros::parse(&settings.macros).unwrap_or_else(|error| {
            faults.push(format!("rules.macros: {error}"));
            Macros::default()
        });
        let mut groups: Vec<(String, Group)> = Vec::new();
        let mut rules = 0;
        for file in &settings.files {
            let path = file.path.display().to_string();
            let parsed = Group::parse_all(&file.text, &macros);
            faults.extend(parsed.faults.iter().map(|fault| format!("{path}:{fault}")));
            for mut group in parsed.groups {
                if groups.len() >= MAX_GROUPS || rules >= MAX_RULES {
                    faults.push(format!(
                        "{path}: group {}: there are more than {MAX_GROUPS} groups or {MAX_RULES} rules; leave some out",
                        group.name
                    ));
                    continue;
                }
                if group.rules.len() > MAX_RULES - rules {
                    group.rules.truncate(MAX_RULES - rules);
                    faults.push(format!(
                        "{path}: group {}: more than {MAX_RULES} rules in all; leave some out",
                        group.name
                    ));
                }
                rules += group.rules.len();
                groups.push((path.clone(), group));
            }
        }
        let interval_ms =
            i64::try_from(settings.interval.as_millis()).unwrap_or(i64::MAX).max(MIN_INTERVAL_MS);
        Self { groups, macros, interval_ms, host: settings.host.clone(), faults }
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The functions of the user's own.
    pub fn macros(&self) -> &Macros {
        &self.macros
    }
}

/// The thread that evaluates; dropped, it ends before its next group.
#[derive(Debug)]
pub struct Rules {
    board: Arc<Board>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Rules {
    /// Starts the thread. `path`: the database file of `store`. Without a rule there is no thread.
    pub fn start(loaded: Loaded, store: Arc<dyn Store>, path: &Path, post: Post) -> std::io::Result<Self> {
        for fault in &loaded.faults {
            tracing::error!(fault, "a rule is left out");
        }
        let board = Arc::new(Board::new(&loaded));
        if loaded.groups.is_empty() {
            return Ok(Self { board, stop: None, thread: None });
        }
        let (stop, stopped) = std::sync::mpsc::channel();
        let work = Work {
            groups: loaded
                .groups
                .into_iter()
                .map(|(file, group)| Evaluated::new(&file, group, loaded.interval_ms))
                .collect(),
            macros: loaded.macros,
            host: loaded.host,
            store,
            path: path.to_owned(),
            board: Arc::clone(&board),
            post,
        };
        let thread =
            std::thread::Builder::new().name("rules".to_owned()).spawn(move || work.run(&stopped))?;
        Ok(Self { board, stop: Some(stop), thread: Some(thread) })
    }

    /// What is known of each rule.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Waits for the group that is being evaluated, and ends. Blocks.
    pub fn stop(mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the rules panicked");
        }
    }
}

/// What the thread works with.
struct Work {
    groups: Vec<Evaluated>,
    macros: Macros,
    host: String,
    store: Arc<dyn Store>,
    path: std::path::PathBuf,
    board: Arc<Board>,
    post: Post,
}

impl Work {
    fn run(mut self, stopped: &Receiver<()>) {
        let mut reader = None;
        self.restore(&mut reader);
        for group in &mut self.groups {
            group.schedule(now_ms());
        }
        while let Some(due_ms) = self.groups.iter().map(|group| group.due_ms).min() {
            let wait = due_ms.saturating_sub(now_ms()).clamp(0, 60_000);
            match stopped.recv_timeout(Duration::from_millis(wait.unsigned_abs())) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = now_ms();
            for place in 0..self.groups.len() {
                let group = &mut self.groups[place];
                // A clock that was set back makes the next time a distant one.
                if group.due_ms - now > group.interval_ms {
                    group.schedule(now);
                }
                let due_ms = group.due_ms;
                if due_ms <= now {
                    self.evaluate(place, &mut reader);
                    self.groups[place].schedule(now_ms().max(due_ms));
                }
                if !matches!(stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
                    return;
                }
            }
        }
    }
}
