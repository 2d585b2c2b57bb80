//! `agent alerts`.

#[cfg(feature = "relay")]
mod broker;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use agent_common::wire::finding::{Alert, AlertState};
use anyhow::bail;
use clap::Args;
use diagnosis::alert::{AlertOptions, Alerts};

use super::ask::{self, Interrupt};
use super::term::Paint;
use super::{Context, Outcome, observe, term};
use crate::collector::Options;
use crate::control::Client;
use crate::control::protocol::{Reply, Request};

/// Length of an observation without a daemon: two windows more than the rules' span.
const OBSERVATION: Duration = Duration::from_secs(7);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo agent alerts                                        what is open on this host
  sudo agent alerts --follow                               and every change from now on
  agent alerts --mqtt mqtts://me@broker:8883 --follow      of all hosts that send to a broker
  sudo agent alerts --follow --json | jq .finding.class

One line an alert: time, host, state, class, who, what is lost, and what to do. The password of --mqtt comes from
the URL, mqtt.password_file or S7MPA_MQTT_PASSWORD.")]
pub(super) struct AlertsArgs {
    /// Go on with every change until Ctrl-C
    #[arg(short, long)]
    follow: bool,

    /// Ask a broker for the alerts of all its hosts: mqtt://[user@]host[:port], mqtts:// for TLS
    #[cfg(feature = "relay")]
    #[arg(long, value_name = "URL")]
    mqtt: Option<crate::config::MqttUrl>,

    /// Only alerts of this host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
}

/// Where alerts are printed.
#[derive(Debug)]
struct Printer {
    json: bool,
    paint: Paint,
    host: Option<String>,
    printed: u64,
}

impl Printer {
    fn print(&mut self, alert: &Alert) -> anyhow::Result<()> {
        if self.host.as_ref().is_some_and(|host| *host != alert.host) {
            return Ok(());
        }
        self.printed += 1;
        if self.json {
            return term::print_json_line(alert);
        }
        Ok(term::print(&format!("{}\n", line(alert, self.paint)))?)
    }
}

pub(super) async fn run(context: Context, args: AlertsArgs) -> Outcome {
    let mut printer =
        Printer { json: context.global.json, paint: context.paint, host: args.host.clone(), printed: 0 };
    #[cfg(feature = "relay")]
    if let Some(url) = &args.mqtt {
        if url.password.as_ref().is_some_and(|password| !password.is_empty()) {
            tracing::warn!("{}", crate::config::exposed_by("mqtt.url", "--mqtt"));
        }
        broker::print(&context, url, args.follow, &mut printer).await?;
        return Ok(done(&printer, &context, args.follow));
    }
    if let Some(client) = ask::daemon(&context).await? {
        of_daemon(client, args.follow, &mut printer).await?;
    } else {
        of_ours(&context, args.follow, &mut printer).await?;
    }
    Ok(done(&printer, &context, args.follow))
}

fn done(printer: &Printer, context: &Context, follow: bool) -> ExitCode {
    if printer.printed == 0 && !follow && !context.global.json {
        term::complain("no alert is open");
    }
    ExitCode::SUCCESS
}

async fn of_daemon(mut client: Client, follow: bool, printer: &mut Printer) -> anyhow::Result<()> {
    let mut interrupt = Interrupt::new()?;
    client.send(Request::Alerts { follow }).await?;
    loop {
        let reply = tokio::select! {
            () = interrupt.wait() => return Ok(()),
            reply = client.next() => reply?,
        };
        match reply {
            Some(Reply::Alert(alert)) => printer.print(&alert)?,
            Some(Reply::Lagged(missed)) => {
                term::complain(&format!("{missed} messages missed: read too slowly"));
            }
            Some(_) => bail!("the daemon answered something else"),
            None if follow => bail!("the daemon ended"),
            None => return Ok(()),
        }
    }
}

/// Without a daemon: the same rules, here.
async fn of_ours(context: &Context, follow: bool, printer: &mut Printer) -> anyhow::Result<()> {
    let mut interrupt = Interrupt::new()?;
    let options = Options::of_host(&context.config.collector);
    let observing = observe::start(context, options).await?;
    if follow {
        term::complain("no daemon runs: observing here until Ctrl-C");
    }
    let mut windows = observing.history().subscribe();
    let mut alerts = Alerts::new(&context.config.host, AlertOptions::default());
    let mut trend = diagnosis::Trend::default();
    let over = tokio::time::sleep(if follow { Duration::MAX } else { OBSERVATION });
    tokio::pin!(over);
    let progress = (!follow).then(term::Progress::new);
    let begin = std::time::Instant::now();
    loop {
        let window = tokio::select! {
            () = interrupt.wait() => break,
            () = &mut over => break,
            window = windows.next() => window,
        };
        let Some(window) = window else { bail!("the collector ended") };
        if let Some(progress) = &progress {
            progress.tick("observing", begin.elapsed(), Some(OBSERVATION));
        }
        trend.push(&window);
        let kept = observing.history().last(Duration::from_nanos(diagnosis::SPAN.0));
        for alert in alerts.update(window.end_unix, &diagnosis::suspicions(diagnosis::recent(&kept), &trend))
        {
            if follow || alert.state == AlertState::Open {
                printer.print(&alert)?;
            }
        }
    }
    drop(progress);
    observing.finish().await?;
    Ok(())
}

/// `2026-11-22T21:22:43Z web-1 OPEN cpu-user worker (42): 900ms lost per second, 90 %; CPU 97 % of a core → …`
pub(super) fn line(alert: &Alert, paint: Paint) -> String {
    let alert = alert.clone().cleaned();
    let finding = &alert.finding;
    let state = match alert.state {
        AlertState::Open => paint.red("OPEN    "),
        AlertState::Update => paint.yellow("UPDATE  "),
        AlertState::Resolved => paint.green("RESOLVED"),
    };
    let subject = &finding.subject;
    let name = subject.comm.as_deref().unwrap_or(&subject.kind);
    let who = subject.pid.map_or_else(|| name.to_owned(), |pid| format!("{name} ({pid})"));
    if alert.of_rule.is_some() {
        return of_rule(&alert, &state, paint);
    }
    let place = finding.place(subject.pid).map_or_else(String::new, |place| format!(" in {place}"));
    let mut text = format!(
        "{} {} {state} {} {}{place}: {} lost per second, {:.0} %",
        term::utc(alert.at_unix_ns),
        alert.host,
        finding.class,
        paint.bold(&who),
        term::nanos(finding.lost_ns_per_s),
        finding.share_pct,
    );
    if alert.state == AlertState::Resolved {
        let open = alert.at_unix_ns.saturating_sub(alert.opened_unix_ns);
        return format!("{text}, open for {}", term::span(Duration::from_secs(open / 1_000_000_000)));
    }
    if let Some(evidence) = finding.evidence.first() {
        let line = format!("; {}: {:.0} {}", evidence.what, evidence.value, evidence.shown_unit());
        text.push_str(line.trim_end());
    }
    if alert.state == AlertState::Open {
        let _ = write!(text, " → {}", finding.advice);
    }
    text
}

/// `2026-11-22T21:22:43Z web-1 OPEN HostOutOfDiskSpace {device="sda1"}: Host out of disk space; node_… / node_…: 0.09`
fn of_rule(alert: &Alert, state: &str, paint: Paint) -> String {
    let finding = &alert.finding;
    let series = finding.subject.comm.as_deref().unwrap_or_default();
    let mut text = format!(
        "{} {} {state} {} {}",
        term::utc(alert.at_unix_ns),
        alert.host,
        paint.bold(finding.class.name()),
        series
    );
    text.truncate(text.trim_end().len());
    if alert.state == AlertState::Resolved {
        let open = alert.at_unix_ns.saturating_sub(alert.opened_unix_ns);
        return format!("{text}: open for {}", term::span(Duration::from_secs(open / 1_000_000_000)));
    }
    if let Some(headline) = &finding.headline {
        let _ = write!(text, ": {headline}");
    }
    if let Some(evidence) = finding.evidence.first() {
        let _ = write!(text, "; {}: {:.6}", evidence.what, evidence.value);
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_common::wire::finding::testing::alert;

    #[test]
    fn an_alert_of_a_rule_shows_its_series_and_its_summary() {
        let mut alert = alert("rule/Full/0/1", AlertState::Open);
        alert.of_rule = Some(Box::default());
        alert.finding.class = "Full".into();
        alert.finding.headline = Some("the disk is full".to_owned());
        alert.finding.subject.pid = None;
        alert.finding.subject.comm = Some("{device=\"sda\"}".to_owned());
        alert.finding.evidence = vec![agent_common::wire::finding::Evidence {
            what: "x > 1".to_owned(),
            value: 12.5,
            unit: "count".to_owned(),
            threshold: None,
            side: agent_common::wire::finding::Side::Above,
        }];
        let text = line(&alert, Paint::plain());
        assert!(text.ends_with("OPEN     Full {device=\"sda\"}: the disk is full; x > 1: 12.5"), "{text}");
        alert.state = AlertState::Resolved;
        assert!(line(&alert, Paint::plain()).ends_with("RESOLVED Full {device=\"sda\"}: open for 1s"));
    }

    #[test]
    fn an_alert_is_one_line() {
        let text = line(&alert("a", AlertState::Open), Paint::plain());
        assert_eq!(
            text,
            "2023-11-14T22:13:21Z here OPEN     cpu-user worker (42): 900ms lost per second, 90 % → look at its flame graph"
        );
        let text = line(&alert("a", AlertState::Resolved), Paint::plain());
        assert!(text.ends_with("90 %, open for 1s"), "{text}");
    }

    #[test]
    fn an_alert_of_a_hostile_host_is_one_harmless_line() {
        let mut alert = alert("a", AlertState::Open);
        let hostile = "x\u{1b}[2J\u{202e}\nFORGED";
        alert.host = hostile.to_owned();
        alert.finding.advice = hostile.to_owned();
        alert.finding.subject.comm = Some(hostile.to_owned());
        alert.finding.evidence = vec![agent_common::wire::finding::Evidence {
            what: hostile.to_owned(),
            value: 1.0,
            unit: hostile.to_owned(),
            threshold: None,
            side: agent_common::wire::finding::Side::Above,
        }];
        let text = line(&alert, Paint::plain());
        assert!(!text.chars().any(agent_common::text::is_hostile), "{text:?}");
        assert_eq!(text.matches("x\\u{1b}[2J\\u{202e}\\nFORGED").count(), 5, "{text}");
    }

    #[test]
    fn other_hosts_are_left_out_when_one_is_named() {
        let mut printer =
            Printer { json: true, paint: Paint::plain(), host: Some("elsewhere".to_owned()), printed: 0 };
        printer.print(&alert("a", AlertState::Open)).unwrap();
        assert_eq!(printer.printed, 0);
    }
}
