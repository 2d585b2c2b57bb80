//! The summary line of a daemon on a terminal.

use std::fmt::Write;
use std::sync::Arc;

use agent_common::pair::ApiState;
use agent_common::text;
use diagnosis::window::Window;

use super::relay::{Figures, RelayHandle, lock};
use crate::control::server::Daemon;
use crate::progress::Progress;

pub(super) async fn run(daemon: Arc<Daemon>, relay: RelayHandle) {
    let progress = Progress::new();
    let mut windows = daemon.history.subscribe();
    progress.show(&format!("{}: attaching…", daemon.answers.host));
    let mut said = None;
    while let Some(window) = windows.next().await {
        let api = lock(&daemon.api).clone();
        if said.as_ref() != Some(&api) {
            if let Some(news) = news(&api) {
                progress.say(&news);
            }
            said = Some(api);
        }
        progress.show(&line(&daemon.answers.host, &window, daemon.board.count(), &relay.figures()));
    }
}

/// Where the HTTP API is, or what is in its way.
fn news(api: &ApiState) -> Option<String> {
    match (&api.url, &api.problem) {
        (_, Some(problem)) => Some(format!("HTTP API: {problem}")),
        (Some(url), None) => Some(format!("HTTP API: {url}; `sudo agent open` opens it in a browser")),
        (None, None) => None,
    }
}

/// `web-1: 13.0k syscalls/s, 190/194 samples, 2 alerts, stored 841, agent 0.6 % CPU 31.0 MiB`
fn line(host: &str, window: &Window, alerts: usize, figures: &Figures) -> String {
    let seconds = window.span().as_secs_f64().max(0.001);
    let calls: u64 = window.syscalls.iter().map(|row| row.count).sum();
    let mut line = format!(
        "{}: {} processes, {} syscalls/s, {}/{} samples",
        text::clean(host),
        window.tasks.len(),
        text::count((calls as f64 / seconds) as u64),
        window.coverage.captured,
        window.coverage.expected,
    );
    match alerts {
        0 => line.push_str(", no alert"),
        1 => line.push_str(", 1 alert"),
        n => {
            let _ = write!(line, ", {n} alerts");
        }
    }
    let sink = &figures.sink;
    let waiting = sink.spool.windows + figures.windows.waiting;
    match &sink.error {
        _ if !figures.connected => {
            let _ = write!(line, ", {waiting} windows wait: the relay is being started");
        }
        None if sink.connected => {
            let _ = write!(line, ", {} stored", text::count(sink.acked));
        }
        None => line.push_str(", connecting"),
        Some(error) => {
            let _ = write!(line, ", {waiting} windows wait: {}", text::clean(error));
        }
    }
    if figures.lost() > 0 {
        let _ = write!(line, ", {} windows lost", text::count(figures.lost()));
    }
    for (to, what, export) in [
        ("export", "samples", &sink.export),
        ("Pyroscope", "samples", &sink.pyroscope),
        ("OTLP profiles", "samples", &sink.otlp_profiles),
        ("Loki", "lines", &sink.loki),
        ("OTLP logs", "lines", &sink.otlp_logs),
    ] {
        let Some(export) = export else { continue };
        if let Some(error) = &export.error {
            let waiting = text::count(export.waiting_samples);
            let _ = write!(line, ", {waiting} {what} wait for {to}: {}", text::clean(error));
        }
        if export.lost_samples > 0 {
            let _ = write!(line, ", {} {what} lost by {to}", text::count(export.lost_samples));
        }
    }
    let cost = &window.self_cost;
    let _ = write!(line, "; agent {:.1} % CPU, {}", cost.cpu_pct, text::bytes(cost.rss_bytes));
    line
}

#[cfg(test)]
mod tests {
    use agent_common::pair::{ExportFigures, SinkFigures};

    use super::*;
    use crate::outbox::Counts;

    #[test]
    fn the_line_names_what_waits_and_why() {
        let window = crate::history::tests::window(1, 3, 3);
        let figures = |sink| Figures { sink, connected: true, ..Figures::default() };
        let ok = figures(SinkFigures { connected: true, acked: 7, ..SinkFigures::default() });
        assert!(line("here", &window, 0, &ok).contains("97/97 samples, no alert, 7 stored; agent 0.0 % CPU"));
        let broken = figures(SinkFigures { error: Some("refused".to_owned()), ..SinkFigures::default() });
        assert!(line("here", &window, 2, &broken).contains("2 alerts, 0 windows wait: refused;"));
        let windows = Counts { lost: 3, waiting: 9, ..Counts::default() };
        let dead = Figures { windows, ..Figures::default() };
        let shown = line("here", &window, 0, &dead);
        assert!(shown.contains("9 windows wait: the relay is being started, 3 windows lost;"), "{shown}");
        let away = ExportFigures {
            waiting_samples: 5,
            lost_samples: 2,
            error: Some("refused".to_owned()),
            ..Default::default()
        };
        let away = figures(SinkFigures {
            pyroscope: Some(away.clone()),
            loki: Some(away),
            ..SinkFigures::default()
        });
        let shown = line("here", &window, 0, &away);
        assert!(
            shown.contains("5 samples wait for Pyroscope: refused, 2 samples lost by Pyroscope, 5 lines wait for Loki: refused, 2 lines lost by Loki;"),
            "{shown}"
        );
    }
}
