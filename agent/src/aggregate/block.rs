//! Windows → blocks of stacks, which travel to the server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use agent_common::units::{BootNs, DurNs, Tgid, UnixNs};
use diagnosis::window::Window;
use profile::block::{Builder, Group, Looked};
use profile::{FoldOptions, Mode, Names, Parts, Roots, Sample, Stacked, Thread, Timeline};

use super::coverage::coverage;
use super::stacks::{StackOptions, stacks};

/// Length of a column: what the past can be divided into.
pub const COLUMN: Duration = Duration::from_secs(10);
/// Length of a block.
pub const BLOCK: Duration = Duration::from_mins(1);

/// Most stacks of a block, those included on which others stand: 5 MiB of memory until it is sent. A minute of a build on two CPUs
/// has some 20,000.
pub const MAX_BLOCK_NODES: usize = 131_072;

/// Stacks of the windows of one column, without names.
#[derive(Debug, Default)]
pub struct Picked {
    column: u32,
    cpu: Vec<Stacked>,
    waits: Vec<Stacked>,
}

/// An empty block for the windows that end in the same minute as one that ends at `end`.
#[must_use]
pub fn new_block(end: UnixNs, rate_hz: u32) -> Builder {
    let length = BLOCK.as_nanos() as u64;
    let from = UnixNs(end.0.saturating_sub(1) / length * length);
    let column = DurNs(COLUMN.as_nanos() as u64);
    Builder::new(from, column, (length / column.0) as u32, rate_hz, MAX_BLOCK_NODES)
}

/// The stacks of windows by columns of a block that begins at `from`. A window belongs to the column in which it ends.
#[must_use]
pub fn pick(windows: &[Arc<Window>], from: UnixNs) -> Vec<Picked> {
    let column = |window: &Window| {
        (window.end_unix.0.saturating_sub(1).saturating_sub(from.0) / COLUMN.as_nanos() as u64) as u32
    };
    windows
        .chunk_by(|a, b| column(a) == column(b))
        .map(|windows| {
            let options = |mode| StackOptions { mode, pid: None, no_idle: false, rate_hz: 1 };
            Picked {
                column: column(&windows[0]),
                cpu: stacks(windows, &options(Mode::OnCpu)).stacks,
                waits: stacks(windows, &options(Mode::Wakers)).stacks,
            }
        })
        .collect()
}

/// The stacks of one process, for the first column of a block.
#[must_use]
pub fn pick_of(windows: &[Arc<Window>], tgid: Tgid) -> Picked {
    let of =
        |mode| stacks(windows, &StackOptions { mode, pid: Some(tgid), no_idle: false, rate_hz: 1 }).stacks;
    Picked { column: 0, cpu: of(Mode::OnCpu), waits: of(Mode::Wakers) }
}

/// All stacks, for a symbolizer.
#[must_use]
pub fn samples_of(picked: &[Picked]) -> Vec<Sample> {
    let stacks = picked.iter().flat_map(|one| one.cpu.iter().chain(&one.waits));
    stacks.flat_map(|one| std::iter::once(&one.sample).chain(&one.waker)).cloned().collect()
}

/// Adds stacks to a block, with `names`; `windows` are those of which they are.
pub fn add(builder: &mut Builder, picked: &[Picked], names: &Names, windows: &[Arc<Window>]) {
    let places = Places::of(windows);
    // The waker is called by its process' name. No thread is told from another.
    let options = FoldOptions { roots: Roots::Comm, annotate: false, parts: Parts::Both };
    for Picked { column, cpu, waits } in picked {
        for (looked, stacks) in [(Looked::Cpu, cpu), (Looked::Wait, waits)] {
            let timeline = Timeline::new(stacks, names, &options);
            builder.add(looked, *column, &timeline, |thread| places.group(thread));
        }
    }
    let covered = coverage(windows);
    builder.count("expected", covered.expected);
    builder.count("captured", covered.captured);
    for (what, counts) in
        [("lost", &covered.lost), ("unwound", &covered.unwound), ("python", &covered.pythons)]
    {
        for (reason, count) in counts {
            builder.count(format!("{what} {reason}"), *count);
        }
    }
}

/// Where processes run and since when.
struct Places(HashMap<u32, (BootNs, Arc<str>, Arc<str>)>);

impl Places {
    fn of(windows: &[Arc<Window>]) -> Self {
        let nothing: Arc<str> = "".into();
        let mut places = HashMap::new();
        for window in windows {
            for task in &window.tasks {
                let container = task.container.clone().unwrap_or_else(|| Arc::clone(&nothing));
                places.insert(task.tgid.0, (task.start_boot_ns, Arc::clone(&task.cgroup), container));
            }
        }
        // What begins and ends within a window is where its parent is.
        for exit in windows.iter().flat_map(|window| &window.exits) {
            let parent = places.get(&exit.parent.0).cloned();
            let (_, cgroup, container) =
                parent.unwrap_or_else(|| (BootNs(0), Arc::clone(&nothing), Arc::clone(&nothing)));
            places.entry(exit.tgid.0).or_insert((exit.start_boot_ns, cgroup, container));
        }
        Self(places)
    }

    fn group(&self, thread: &Thread) -> Group {
        let (start, cgroup, container) =
            self.0.get(&thread.tgid).cloned().unwrap_or_else(|| (BootNs(0), "".into(), "".into()));
        Group { tgid: thread.tgid, start, comm: Arc::clone(thread.process_name()), cgroup, container }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagnosis::testing::full;
    use profile::block::{Block, MAX_MESSAGE, Shown, pack, unpack};
    use profile::{Folded, FrameName};

    const START: u64 = 1_800_000_000_000_000_000;
    const SECOND: u64 = 1_000_000_000;

    /// An hour of windows, in which stacks, processes and waits change.
    fn hour() -> Vec<Arc<Window>> {
        let window = |n: u64| {
            let mut window = full(n);
            window.end_unix = UnixNs(START + (n + 1) * SECOND);
            let mut more = Vec::new();
            for sample in &window.samples {
                for nth in 0..n % 7 {
                    let mut other = sample.clone();
                    other.tgid = 42 + (nth % 3) as u32;
                    other.weight = nth;
                    other.user = vec![0x1000 + n % 13, 0x2001 + n % 5, 0x3001].into();
                    more.push(other);
                }
            }
            window.samples.extend(more);
            window.coverage.expected = 10;
            Arc::new(window)
        };
        (0..3600).map(window).collect()
    }

    fn names() -> Names {
        let mut names = Names::default();
        let named = |text: String| FrameName::named(text.into());
        for tgid in [42, 43, 44] {
            for addr in 0x1000..0x1010 {
                names.set_user(tgid, addr, named(format!("leaf{}", addr % 4)));
                names.set_user(tgid, addr + 0x1000, named(format!("middle{addr}")));
                names.set_user(tgid, addr + 0x2000, named("main".to_owned()));
            }
        }
        names.set_kernel(0xffff_ffff_8100_0010, named("vfs_read".to_owned()));
        names
    }

    /// Blocks as they come from the wire.
    fn blocks(windows: &[Arc<Window>], names: &Names) -> Vec<Block> {
        let mut blocks = Vec::new();
        for minute in
            windows.chunk_by(|a, b| (a.end_unix.0 - 1) / (60 * SECOND) == (b.end_unix.0 - 1) / (60 * SECOND))
        {
            let mut builder = new_block(minute[0].end_unix, 97);
            // As it is named bit by bit.
            for some in minute.chunks(7) {
                let picked = pick(some, builder.from());
                add(&mut builder, &picked, names, some);
            }
            let messages = pack(&builder.finish(), MAX_MESSAGE);
            blocks.extend(messages.iter().map(|message| unpack(message).unwrap()));
        }
        blocks
    }

    #[test]
    fn an_hour_of_blocks_is_the_graph_of_its_samples_in_every_mode() {
        let (windows, names) = (hour(), names());
        let blocks = blocks(&windows, &names);
        assert_eq!(blocks.len(), 60);
        let hour = DurNs(3600 * SECOND);
        let mut sum = Builder::new(UnixNs(START), hour, 1, 97, usize::MAX);
        for block in &blocks {
            sum.add_block(block, |_, _| Some(0));
            sum.add_counters(&block.counters);
        }
        let sum = sum.finish();
        for mode in [Mode::OnCpu, Mode::OffCpu, Mode::Wall, Mode::Wakers] {
            for (roots, no_idle) in [(Roots::Comm, false), (Roots::Process, true), (Roots::None, false)] {
                // Who ended a wait is called by name alone.
                let named = FoldOptions { roots: Roots::Comm, ..FoldOptions::default() };
                let options = FoldOptions { roots, ..named };
                let picked = stacks(&windows, &StackOptions { mode, pid: None, no_idle, rate_hz: 97 });
                let raw = Folded::new(&Timeline::new(&picked.stacks, &names, &named), &options);
                let kept = Shown::of(mode, no_idle, Parts::Both, |shown| sum.timeline(shown, |_| "".into()));
                let kept = Folded::new(&kept, &options);
                assert!(raw.stacks.len() > 3 || mode != Mode::OnCpu);
                assert_eq!(kept.stacks, raw.stacks, "{mode:?} {roots:?}");
            }
        }
        assert_eq!(sum.counters["expected"], 36_000);
    }

    #[test]
    fn parts_of_stacks_are_those_of_the_samples() {
        let (windows, names) = (&hour()[..120], names());
        let blocks = blocks(windows, &names);
        for parts in [Parts::Kernel, Parts::User] {
            let options = FoldOptions { parts, ..FoldOptions::default() };
            let picked =
                stacks(windows, &StackOptions { mode: Mode::OffCpu, pid: None, no_idle: false, rate_hz: 97 });
            let raw = Folded::new(&Timeline::new(&picked.stacks, &names, &options), &options);
            let mut sum = Builder::new(UnixNs(START), DurNs(120 * SECOND), 1, 97, usize::MAX);
            for block in &blocks {
                sum.add_block(block, |_, _| Some(0));
            }
            let sum = sum.finish();
            let kept = Shown::of(Mode::OffCpu, false, parts, |shown| sum.timeline(shown, |_| "".into()));
            assert_eq!(Folded::new(&kept, &options).stacks, raw.stacks, "{parts:?}");
        }
    }

    #[test]
    fn a_window_is_in_the_column_in_which_it_ends() {
        let windows = &hour()[..60];
        let builder = new_block(windows[0].end_unix, 97);
        assert_eq!(builder.from(), UnixNs(START));
        let picked = pick(windows, builder.from());
        let columns: Vec<u32> = picked.iter().map(|one| one.column).collect();
        assert_eq!(columns, [0, 1, 2, 3, 4, 5]);
        assert_eq!(new_block(UnixNs(START + 60 * SECOND + 1), 97).from(), UnixNs(START + 60 * SECOND));
    }
}
