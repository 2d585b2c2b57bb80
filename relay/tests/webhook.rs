//! The webhook against a receiver: what it posts, and what becomes of what is not taken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_common::wire::finding::AlertState;
use agent_common::wire::finding::testing::alert;
use notifier::{MAX_QUEUED, MAX_TRIES, Notifiers, NotifyStats};
use relay::webhook::Webhook;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A receiver that answers each request with the next status and keeps the bodies.
struct Receiver {
    url: String,
    bodies: Arc<Mutex<Vec<serde_json::Value>>>,
}

impl Receiver {
    async fn start(answers: Vec<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v2/alerts", listener.local_addr().unwrap());
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bodies);
        tokio::spawn(async move {
            let mut answers = answers.into_iter();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                let body = loop {
                    let mut buffer = [0; 4096];
                    let read = socket.read(&mut buffer).await.unwrap();
                    assert!(read > 0, "the request ends early");
                    request.extend_from_slice(&buffer[..read]);
                    let text = String::from_utf8_lossy(&request);
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head
                        .lines()
                        .find_map(|line| {
                            line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
                        })
                        .unwrap();
                    if body.len() >= length {
                        assert!(head.starts_with("POST /api/v2/alerts HTTP/1.1"), "{head}");
                        break body.to_owned();
                    }
                };
                kept.lock().unwrap().push(serde_json::from_str(&body).unwrap());
                let status = answers.next().unwrap_or("200 OK");
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, bodies }
    }

    fn bodies(&self) -> Vec<serde_json::Value> {
        self.bodies.lock().unwrap().clone()
    }
}

const SHORT: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_hours(1);
const TIMEOUT: Duration = Duration::from_secs(5);

fn counts(stats: &NotifyStats) -> (u64, u64, u64) {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    (of(&stats.sent), of(&stats.failed), of(&stats.lost))
}

#[tokio::test]
async fn a_webhook_gets_alertmanagers_json_after_a_failure_too() {
    let receiver = Receiver::start(vec!["503 Service Unavailable", "200 OK"]).await;
    let mut notifiers = Notifiers::default();
    let stats = notifiers.add(Webhook::new(&receiver.url, TIMEOUT).unwrap(), LONG, SHORT);
    let mut open = alert("cpu-user/process/7/1", AlertState::Open);
    open.opened_unix_ns = 1_700_000_000_000_000_000;
    open.at_unix_ns = open.opened_unix_ns;
    notifiers.send(&open);
    notifiers.close(TIMEOUT).await;
    assert_eq!(counts(&stats), (1, 1, 0));
    let bodies = receiver.bodies();
    assert_eq!(bodies.len(), 2);
    let sent = &bodies[1][0];
    assert_eq!(sent["labels"]["alertname"], "cpu-user");
    assert_eq!(sent["labels"]["alert_id"], "cpu-user/process/7/1");
    assert_eq!(sent["startsAt"], "2023-11-14T22:13:20Z");
    assert_eq!(sent["endsAt"], "2023-11-14T22:17:20Z", "open: it ends by itself unless it is sent again");
    assert!(sent["annotations"]["summary"].as_str().unwrap().starts_with("cpu-user "), "{sent}");
}

#[tokio::test]
async fn a_resolved_alert_has_ended() {
    let receiver = Receiver::start(Vec::new()).await;
    let mut notifiers = Notifiers::default();
    notifiers.add(Webhook::new(&receiver.url, TIMEOUT).unwrap(), LONG, SHORT);
    let mut over = alert("a", AlertState::Resolved);
    over.at_unix_ns = 1_700_000_000_000_000_000;
    notifiers.send(&over);
    notifiers.close(TIMEOUT).await;
    assert_eq!(receiver.bodies()[0][0]["endsAt"], "2023-11-14T22:13:20Z");
}

#[tokio::test]
async fn what_is_refused_is_not_tried_again_and_counted() {
    let receiver = Receiver::start(vec!["400 Bad Request"]).await;
    let mut notifiers = Notifiers::default();
    let stats = notifiers.add(Webhook::new(&receiver.url, TIMEOUT).unwrap(), LONG, SHORT);
    notifiers.send(&alert("a", AlertState::Open));
    notifiers.close(TIMEOUT).await;
    assert_eq!(counts(&stats), (0, 1, 1));
}

#[tokio::test]
async fn a_receiver_that_is_away_is_given_up_and_a_full_queue_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let mut notifiers = Notifiers::default();
    let stats = notifiers.add(Webhook::new(&url, TIMEOUT).unwrap(), LONG, Duration::from_millis(1));
    for n in 0..MAX_QUEUED + 10 {
        notifiers.send(&alert(&n.to_string(), AlertState::Open));
    }
    assert_eq!(counts(&stats).2, 10, "the task has not run yet");
    notifiers.close(TIMEOUT).await;
    assert_eq!(counts(&stats), (0, u64::from(MAX_TRIES), MAX_QUEUED as u64 + 10));
}

#[tokio::test]
async fn an_open_alert_is_sent_again_until_it_is_resolved() {
    let receiver = Receiver::start(Vec::new()).await;
    let mut notifiers = Notifiers::default();
    notifiers.add(Webhook::new(&receiver.url, TIMEOUT).unwrap(), Duration::from_millis(50), SHORT);
    notifiers.send(&alert("a", AlertState::Open));
    while receiver.bodies().len() < 3 {
        tokio::time::sleep(SHORT).await;
    }
    notifiers.close(TIMEOUT).await;
    assert!(receiver.bodies().iter().all(|body| body[0]["labels"]["alert_id"] == "a"));
}
