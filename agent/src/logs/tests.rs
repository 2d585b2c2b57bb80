//! Lines of files go to an outlet that keeps what it gets.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use logs::message::{MAX_PARTS, Message};

use super::*;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<NewWindow>>>);

impl Kept {
    fn all(&self) -> Vec<NewWindow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Outlet for Kept {
    fn send(&self, message: NewWindow) -> u64 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(message);
        all.len() as u64 - 1
    }

    fn waiting(&self) -> Waiting {
        Waiting { settled: 0, bytes: 0, has_room: true }
    }
}

fn collector(dir: &Path) -> (Collector<Kept>, Kept) {
    let config = LogsConfig {
        files: vec![dir.join("*.log")],
        except: Vec::new(),
        journal: false,
        kmsg: false,
        containers: false,
        redact: true,
    };
    let (kept, now) = (Kept::default(), Instant::now());
    let (_, queue) = mpsc::sync_channel(1);
    let watch = Watch::new("h", now, Arc::default());
    (Collector::new("h", &config, (dir.join("state.json"), queue, watch), kept.clone()), kept)
}

/// Turns until there is nothing more. Later than the last time by more than lines wait for those that belong to them.
fn turn(collector: &mut Collector<Kept>) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        collector.turn(Instant::now(), Duration::ZERO);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_message_has_its_own_time_and_not_that_of_its_lines() {
    let dir = tempfile::tempdir().expect("a directory");
    let lines = "2020-01-01T00:00:00Z a: of years ago\n2099-01-01T00:00:00Z a: of the future\n";
    std::fs::write(dir.path().join("app.log"), lines).expect("written");
    let (mut collector, kept) = collector(dir.path());
    let before = clock::unix();
    turn(&mut collector);
    let all = kept.all();
    assert_eq!(all.iter().map(|message| message.points).sum::<u64>(), 2);
    assert!(all.iter().all(|message| (before..=clock::unix()).contains(&message.end)));
}

#[test]
fn no_message_has_more_blocks_than_the_server_takes() {
    const FILES: u64 = 400;
    const TAGS: u64 = 6;
    let dir = tempfile::tempdir().expect("a directory");
    for file in 0..FILES {
        let mut lines = String::new();
        for tag in 0..TAGS {
            writeln!(lines, "Nov 30 12:00:00 h tag{tag}[7]: a line").expect("text");
        }
        std::fs::write(dir.path().join(format!("app{file}x.log")), lines).expect("written");
    }
    let (mut collector, kept) = collector(dir.path());
    turn(&mut collector);
    let all = kept.all();
    assert_eq!(all.iter().map(|message| message.points).sum::<u64>(), FILES * TAGS);
    let blocks = |message: &NewWindow| Message::unpack(&message.body).expect("a message").parts.len();
    let blocks: Vec<usize> = all.iter().map(blocks).collect();
    assert!(blocks.iter().sum::<usize>() > 2 * MAX_PARTS, "{blocks:?}");
    assert!(blocks.iter().all(|count| *count <= MAX_PARTS), "{blocks:?}");
}
