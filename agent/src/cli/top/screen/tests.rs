use agent_common::wire::report::{Coverage, SelfCost};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;

fn process(pid: u32, comm: &str, cpu_ns: u64, rss: u64) -> ReportProcess {
    ReportProcess {
        pid,
        comm: comm.to_owned(),
        cgroup: "/".to_owned(),
        states: [("oncpu_user_ns".to_owned(), cpu_ns)].into(),
        syscalls: u64::from(pid),
        syscall_errors: 0,
        rss_bytes: rss,
        io_bytes: 0,
        short_lived: 0,
        ..ReportProcess::default()
    }
}

fn report() -> Report {
    Report {
        window_s: 1.0,
        host: "here".to_owned(),
        coverage: Coverage { expected: 194, captured: 194, ..Coverage::default() },
        self_cost: SelfCost::default(),
        processes: vec![
            process(0, "other", 999_000_000, 1 << 40),
            process(7, "small", 10_000_000, 900 << 20),
            process(8, "busy\x1b", 970_000_000, 1 << 20),
        ],
        findings: Vec::new(),
        ..Report::default()
    }
}

fn text(screen: &Screen, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(row).collect()
}

fn press(screen: &mut Screen, c: char) -> bool {
    screen.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE))
}

#[test]
fn rows_are_sorted_by_the_key_that_was_pressed() {
    let mut screen = Screen::new(Sort::Cpu);
    screen.update(report());
    let lines = text(&screen, 100, 10);
    assert!(lines[3].contains("97.0") && lines[3].ends_with("busy\\u{1b}"), "{lines:#?}");
    assert!(lines[5].ends_with("other"), "{lines:#?}");
    assert!(!press(&mut screen, 'M'));
    assert!(text(&screen, 100, 10)[3].ends_with("small"));
    assert!(press(&mut screen, 'q'));
}

#[test]
fn the_view_of_states_shows_where_time_went() {
    let mut screen = Screen::new(Sort::Cpu);
    let mut report = report();
    report.processes[1].states =
        [("fsync_ns".to_owned(), 750_000_000), ("poll_ns".to_owned(), 250_000_000)].into();
    (report.processes[1].lost_ns, report.processes[1].wall_ns) = (750_000_000, 1_000_000_000);
    screen.update(report);
    press(&mut screen, 'l');
    let lines = text(&screen, 100, 10);
    assert!(lines[2].contains("LOST%") && lines[2].contains("WHERE TIME WENT"), "{lines:#?}");
    assert!(
        lines[3].contains("75.0 DDDDDDDDDDDDDDD..... fsync 75%") && lines[3].ends_with("small"),
        "{lines:#?}"
    );
    press(&mut screen, 't');
    assert!(text(&screen, 100, 10)[2].contains("SYSC/s"));
}

#[test]
fn every_size_of_terminal_is_survived() {
    let mut screen = Screen::new(Sort::Cpu);
    for help in [false, true] {
        if help {
            press(&mut screen, '?');
        }
        for (width, height) in [(1, 1), (3, 2), (10, 3), (20, 5), (80, 24), (300, 90)] {
            text(&screen, width, height);
            let mut full = Screen { report: Some(report()), ..Screen::new(Sort::Cpu) };
            full.help = help;
            text(&full, width, height);
        }
    }
}

#[test]
fn the_name_stays_on_a_narrow_terminal() {
    let mut screen = Screen::new(Sort::Cpu);
    screen.update(report());
    assert!(text(&screen, 24, 10)[3].contains("busy"));
}

#[test]
fn a_pause_holds_the_figures() {
    let mut screen = Screen::new(Sort::Cpu);
    screen.update(report());
    press(&mut screen, ' ');
    screen.update(Report { host: "later".to_owned(), ..report() });
    assert!(text(&screen, 80, 10)[0].starts_with("here") && text(&screen, 80, 10)[0].ends_with("paused"));
}
