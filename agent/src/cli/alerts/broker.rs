//! `agent alerts --mqtt`: alerts of all hosts that send to a broker.

use std::time::Duration;

use agent_common::wire::finding::Alert;
use agent_common::wire::topic::{self, Channel};
use anyhow::{Context as _, bail};
use link::{Backoff, Event, Failure, Link};

use super::Printer;
use crate::cli::ask::Interrupt;
use crate::cli::{Context, root, term};
use crate::config::MqttUrl;
use crate::daemon;

/// Time without a message after which the broker has sent all retained alerts: it sends them right after the subscription.
const RETAINED_QUIET: Duration = Duration::from_millis(700);
/// Longest wait for the first connection to the broker.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// First wait before connecting again, doubled up to the second.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(15);
/// From a broker: its retained alerts, then, with `follow`, what comes. A broken connection is made again.
pub(super) async fn print(
    context: &Context,
    url: &MqttUrl,
    follow: bool,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let mut interrupt = Interrupt::new()?;
    let mut config = context.config.clone();
    config.mqtt.url = Some(url.clone());
    let Some(access) = daemon::broker_access(&config) else { bail!("no broker") };
    // Files of root's are read before root is given away.
    let access = access.embed().context("broker")?;
    root::drop(&config, "what comes from a broker")?;
    let client_id = format!("s7mpa-alerts-{}-{}", config.host, std::process::id());
    let options = link::Options { timeout: CONNECT_TIMEOUT, ..link::Options::new(access, client_id) };
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
    let mut was_connected = false;
    loop {
        let ended = tokio::select! {
            () = interrupt.wait() => None,
            ended = session(&options, follow, printer, &mut was_connected) => Some(ended?),
        };
        let Some(ended) = ended else {
            anyhow::ensure!(
                was_connected,
                "interrupted before the broker answered: nothing is known of its alerts"
            );
            return Ok(());
        };
        match ended {
            None => return Ok(()),
            // A wrong name or password will not become right; neither will a first connection be waited for.
            Some(failure) if !was_connected || !follow => bail!(failure),
            Some(failure) => term::complain(&format!("{failure}; connecting again")),
        }
        tokio::select! {
            () = interrupt.wait() => return Ok(()),
            () = tokio::time::sleep(backoff.failed()) => {}
        }
    }
}

/// One connection. `None`: everything was printed.
async fn session(
    options: &link::Options,
    follow: bool,
    printer: &mut Printer,
    was_connected: &mut bool,
) -> anyhow::Result<Option<Failure>> {
    let mut link = Link::open(options)?;
    let mut subscribed = false;
    loop {
        let event = if subscribed && !follow {
            let Ok(event) = tokio::time::timeout(RETAINED_QUIET, link.next()).await else {
                link.disconnect().await;
                return Ok(None);
            };
            event
        } else {
            link.next().await
        };
        match event {
            Event::Connected { .. } => {
                *was_connected = true;
                link.subscribe(&topic::filter(&Channel::Alert))?;
            }
            Event::Subscribed { refused: true } => bail!("the broker does not let us read alerts"),
            Event::Subscribed { refused: false } => subscribed = true,
            Event::Received(message) if !message.payload().is_empty() => {
                match serde_json::from_slice::<Alert>(message.payload()) {
                    // Who may write on one host's topics must not speak in another's name.
                    Ok(alert)
                        if topic::parse(message.topic()).is_none_or(|topic| topic.host != alert.host) =>
                    {
                        tracing::warn!(
                            topic = message.topic(),
                            host = alert.host,
                            "an alert of another host than its topic"
                        );
                    }
                    Ok(alert) => printer.print(&alert)?,
                    Err(error) => {
                        tracing::warn!(topic = message.topic(), %error, "not an alert");
                    }
                }
            }
            Event::Closed(failure) => return Ok(Some(failure)),
            // An empty payload clears a retained alert that is over.
            Event::Received(_) | Event::Sent(_) | Event::Acked(_) | Event::Alive => {}
        }
    }
}
