//! What `top` shows and how keys change it. Pure: reports and keys in, cells out.

use std::time::Duration;

use agent_common::wire::report::{Report, ReportProcess};
use diagnosis::groups::{Group, cells as bar_cells};
use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table};

use crate::cli::report::{groups, longest};
use crate::cli::term;

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Sort {
    /// Time on CPUs
    Cpu,
    /// Resident memory
    Memory,
    /// System calls
    Syscalls,
    /// System calls that failed
    Errors,
    /// Time runnable without a CPU
    Runq,
    /// Bytes read and written
    Io,
    /// Time held up: for a CPU, storage, memory, locks
    Lost,
}

impl Sort {
    fn of(self, process: &ReportProcess) -> u64 {
        let state = |name: &str| process.states.get(name).copied().unwrap_or(0);
        match self {
            Self::Cpu => state("oncpu_user_ns") + state("oncpu_kernel_ns"),
            Self::Memory => process.rss_bytes,
            Self::Syscalls => process.syscalls,
            Self::Errors => process.syscall_errors,
            Self::Runq => runq(process),
            Self::Io => process.io_bytes,
            Self::Lost => process.lost_ns,
        }
    }

    /// Heading of the column it is.
    const fn column(self) -> &'static str {
        match self {
            Self::Cpu => "CPU%",
            Self::Memory => "RSS",
            Self::Syscalls => "SYSC/s",
            Self::Errors => "ERR/s",
            Self::Runq => "WAIT%",
            Self::Io => "IO/s",
            Self::Lost => "LOST%",
        }
    }
}

/// Time waited for a CPU, with scheduler accounting or without.
fn runq(process: &ReportProcess) -> u64 {
    let keys = ["runq_ns", "runq_woken_ns", "runq_preempted_ns", "runq_throttled_ns"];
    keys.iter().filter_map(|key| process.states.get(*key)).sum()
}

/// Cells of a bar.
const BAR_CELLS: usize = 20;

/// Largest first; the row `other` (pid 0) last, because it is no process.
pub(super) fn sort(processes: &mut [ReportProcess], by: Sort) {
    processes.sort_by_key(|process| (process.pid == 0, std::cmp::Reverse(by.of(process)), process.pid));
}

/// The state of the screen.
#[derive(Debug)]
pub(super) struct Screen {
    sort: Sort,
    scroll: usize,
    help: bool,
    paused: bool,
    /// Thread states in place of counters.
    states: bool,
    report: Option<Report>,
}

const HELP: [&str; 13] = [
    "P  sort by CPU time          M  by resident memory",
    "s  by system calls           e  by failed ones",
    "r  by wait for a CPU         i  by disk bytes",
    "l  by lost time              t  states / counters",
    "↑ ↓ PgUp PgDn Home  scroll   space  pause",
    "",
    "CPU%, USER%, KERNEL%: of one CPU, all threads together",
    "WAIT%: runnable, but no CPU was free",
    "LOST%: held up for a CPU, storage, memory or a lock",
    "States: U user K kernel W CPU Q quota D storage M memory",
    "  L lock N network P peer, child, input ? unknown . idle",
    "",
    "q  quit        h ?  close this",
];

impl Screen {
    pub(super) const fn new(sort: Sort) -> Self {
        Self { sort, scroll: 0, help: false, paused: false, states: matches!(sort, Sort::Lost), report: None }
    }

    /// A new second.
    pub(super) fn update(&mut self, report: Report) {
        if !self.paused {
            self.report = Some(report.cleaned());
            self.resort();
        }
    }

    fn resort(&mut self) {
        if let Some(report) = &mut self.report {
            sort(&mut report.processes, self.sort);
        }
    }

    /// A key; says whether to quit.
    pub(super) fn key(&mut self, key: KeyEvent) -> bool {
        let last = self.report.as_ref().map_or(0, |report| report.processes.len().saturating_sub(1));
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('h' | '?') => self.help = !self.help,
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Char('P' | 'p') => self.sort = Sort::Cpu,
            KeyCode::Char('M' | 'm') => self.sort = Sort::Memory,
            KeyCode::Char('s' | 'S') => self.sort = Sort::Syscalls,
            KeyCode::Char('e' | 'E') => self.sort = Sort::Errors,
            KeyCode::Char('r' | 'R') => self.sort = Sort::Runq,
            KeyCode::Char('i' | 'I') => self.sort = Sort::Io,
            KeyCode::Char('l' | 'L') => (self.sort, self.states) = (Sort::Lost, true),
            KeyCode::Char('t' | 'T') => self.states = !self.states,
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.scroll = (self.scroll + 1).min(last),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(10),
            KeyCode::PageDown => self.scroll = (self.scroll + 10).min(last),
            KeyCode::Home => self.scroll = 0,
            _ => {}
        }
        self.resort();
        false
    }

    /// Draws whatever fits.
    pub(super) fn draw(&self, frame: &mut Frame) {
        let area = frame.area();
        let Some(report) = &self.report else {
            frame.render_widget(Paragraph::new("observing the first second…"), area);
            return;
        };
        let findings = report.findings.len().min(3) as u16;
        let [head, found, table] = Layout::vertical([
            Constraint::Length(2.min(area.height)),
            Constraint::Length(if area.height > 12 { findings } else { 0 }),
            Constraint::Min(0),
        ])
        .areas(area);
        frame.render_widget(Paragraph::new(self.head(report)), head);
        frame.render_widget(Paragraph::new(findings_text(report)), found);
        self.draw_table(frame, report, table);
        if self.help {
            draw_help(frame, area);
        }
    }

    fn head(&self, report: &Report) -> Vec<Line<'static>> {
        let sum = |by: Sort| report.processes.iter().map(|process| by.of(process)).sum::<u64>();
        let coverage = &report.coverage;
        let lost: u64 = coverage.lost.values().sum();
        let mut first = vec![
            Span::styled(term::clean(&report.host), Style::new().add_modifier(Modifier::BOLD)),
            Span::raw(format!(
                "  CPU {:.0}%  wait {:.0}%  {} syscalls/s  {} errors/s",
                pct(sum(Sort::Cpu), report),
                pct(sum(Sort::Runq), report),
                term::count(rate(sum(Sort::Syscalls), report)),
                term::count(rate(sum(Sort::Errors), report)),
            )),
        ];
        if self.paused {
            first.push(Span::styled("  paused", Style::new().fg(Color::Yellow)));
        }
        let cost = &report.self_cost;
        let second = format!(
            "{}, samples {}/{}, {} lost; agent {:.1}% CPU {}; ? help",
            term::span(Duration::from_secs_f64(report.window_s)),
            coverage.captured,
            coverage.expected,
            lost,
            cost.cpu_pct,
            term::bytes(cost.rss_bytes),
        );
        vec![Line::from(first), Line::styled(second, Style::new().add_modifier(Modifier::DIM))]
    }

    fn draw_table(&self, frame: &mut Frame, report: &Report, area: Rect) {
        let heading = |name: &'static str, width: usize| {
            let style = Style::new().add_modifier(Modifier::REVERSED);
            let style = if name == self.sort.column() { style.add_modifier(Modifier::BOLD) } else { style };
            let left = name.starts_with('W') && self.states || name == "MOST WAITED";
            Line::styled(if left { format!("{name:<width$}") } else { format!("{name:>width$}") }, style)
        };
        let (names, widths): (&[&'static str], &[u16]) = if self.states {
            (&["PID", "CPU%", "LOST%", "WHERE TIME WENT", "MOST WAITED"], &[7, 6, 6, BAR_CELLS as u16, 20])
        } else {
            (
                &["PID", "CPU%", "USER%", "KERNEL%", "WAIT%", "SYSC/s", "ERR/s", "RSS", "IO/s"],
                &[7, 6, 6, 7, 6, 8, 7, 9, 9],
            )
        };
        // The name first gives way to nothing: it is what people look for. Columns fall away from the right end.
        let mut shown = 0;
        let mut used = 12;
        while shown < widths.len() && used + widths[shown] < area.width {
            used += widths[shown] + 1;
            shown += 1;
        }
        let rows = report.processes.iter().skip(self.scroll).take(area.height.saturating_sub(1).into()).map(
            |process| {
                let mut cells: Vec<Line<'static>> = if self.states {
                    state_cells(process, report)
                } else {
                    cells(process, report).into_iter().map(Line::raw).collect()
                };
                cells.truncate(shown);
                cells.push(name(process));
                Row::new(cells)
            },
        );
        let mut constraints: Vec<Constraint> =
            widths[..shown].iter().map(|width| Constraint::Length(*width)).collect();
        constraints.push(Constraint::Min(8));
        let columns = names[..shown].iter().zip(widths).map(|(name, width)| heading(name, (*width).into()));
        let header = columns.chain([heading("COMM", 0)]);
        let table = Table::new(rows, constraints).header(Row::new(header)).column_spacing(1);
        frame.render_widget(table, area);
    }
}

fn cells(process: &ReportProcess, report: &Report) -> Vec<String> {
    let state = |name: &str| process.states.get(name).copied().unwrap_or(0);
    let share = |ns: u64, width: usize| {
        if ns == 0 { String::new() } else { format!("{:>width$.1}", pct(ns, report)) }
    };
    let number = |n: u64, width: usize| {
        if n == 0 { String::new() } else { format!("{:>width$}", term::count(rate(n, report))) }
    };
    let bytes = |n: u64| if n == 0 { String::new() } else { format!("{:>9}", term::bytes(n)) };
    vec![
        if process.pid == 0 { String::new() } else { format!("{:>7}", process.pid) },
        share(Sort::Cpu.of(process), 6),
        share(state("oncpu_user_ns"), 6),
        share(state("oncpu_kernel_ns"), 7),
        share(runq(process), 6),
        number(process.syscalls, 8),
        number(process.syscall_errors, 7),
        bytes(process.rss_bytes),
        bytes(rate(process.io_bytes, report)),
    ]
}

/// Its name, and its container or unit.
fn name(process: &ReportProcess) -> Line<'static> {
    let place = process.place.short();
    let place = if place.is_empty() { place } else { format!("  {}", term::clean(&place)) };
    let dim = Style::new().add_modifier(Modifier::DIM);
    Line::from(vec![Span::raw(term::clean(&process.comm)), Span::styled(place, dim)])
}

/// Share of time lost, and all of it as a bar.
fn state_cells(process: &ReportProcess, report: &Report) -> Vec<Line<'static>> {
    let share = |ns: u64| if ns == 0 { String::new() } else { format!("{:>6.1}", pct(ns, report)) };
    let sums = groups(&process.states);
    let bar = Group::ALL.iter().zip(bar_cells(&sums, BAR_CELLS)).filter(|(_, width)| *width > 0);
    let bar = bar.map(|(group, width)| {
        let [r, g, b] = group.rgb();
        let style = Style::new().bg(Color::Indexed(term::indexed([r, g, b]))).fg(Color::Indexed(16));
        Span::styled(group.letter().to_string().repeat(width), style)
    });
    let bar: Vec<Span<'static>> = bar.collect();
    vec![
        Line::raw(if process.pid == 0 { String::new() } else { format!("{:>7}", process.pid) }),
        Line::raw(share(Sort::Cpu.of(process))),
        Line::raw(share(process.lost_ns)),
        Line::from(bar),
        Line::raw(longest(process)),
    ]
}

fn pct(ns: u64, report: &Report) -> f64 {
    if report.window_s > 0.0 { ns as f64 / (report.window_s * 1e7) } else { 0.0 }
}

fn rate(n: u64, report: &Report) -> u64 {
    if report.window_s > 0.0 { (n as f64 / report.window_s).round() as u64 } else { n }
}

fn findings_text(report: &Report) -> Vec<Line<'static>> {
    let who = |finding: &agent_common::wire::finding::Finding| {
        let subject = &finding.subject;
        let name = term::clean(subject.comm.as_deref().unwrap_or(&subject.kind));
        subject.pid.map_or_else(|| name.clone(), |pid| format!("{name} ({pid})"))
    };
    let line = |finding| {
        let text =
            format!("! {} {}", agent_common::wire::finding::Finding::clone(finding).class, who(finding));
        Line::styled(text, Style::new().fg(Color::Yellow))
    };
    report.findings.iter().take(3).map(line).collect()
}

fn draw_help(frame: &mut Frame, area: Rect) {
    let width = (HELP.iter().map(|line| line.chars().count()).max().unwrap_or(0) as u16 + 4).min(area.width);
    let height = (HELP.len() as u16 + 2).min(area.height);
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let text: Vec<Line<'_>> = HELP.iter().map(|line| Line::raw(*line)).collect();
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(text).block(Block::bordered().title(" agent top ")), place);
}

#[cfg(test)]
mod tests;
