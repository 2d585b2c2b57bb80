//! Connections that do not come about, and what is said about them; TLS; messages that are not windows.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_common::settings::{BrokerAccess, Content};
use agent_common::wire::topic::Channel;
use link::{Event, Link, Options};
use relay::sink::{Delivery, MqttConfig};

use crate::common::{Child, ServerSpec, start_sink, window};
use crate::mosquitto::{Mosquitto, eventually, free_port};

fn tls(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sink/tls").join(name)
}

/// The same with another way to reach the broker.
fn with(config: &MqttConfig, change: impl Fn(&mut BrokerAccess)) -> MqttConfig {
    let mut config = config.clone();
    change(&mut config.broker);
    config
}

/// What a sink says about a broker, as kind and text.
fn complaint(config: MqttConfig) -> (String, String) {
    let dir = tempfile::tempdir().expect("tempdir");
    let sink = start_sink(config, dir.path());
    eventually("a complaint", || sink.stats().error.is_some());
    let stats = sink.close(Duration::from_secs(1)).expect("close");
    assert!(!stats.connected);
    let text = stats.error.expect("text");
    assert!(!text.contains('\n'), "one line: {text}");
    (stats.error_kind.expect("kind"), text)
}

#[test]
fn a_name_that_does_not_resolve_is_called_so() {
    let (kind, text) = complaint(MqttConfig::new("h", "mqtt://no-such-broker.invalid:1883"));
    assert_eq!((kind.as_str(), text.contains("no-such-broker.invalid")), ("dns", true), "{text}");
}

#[test]
fn a_closed_port_is_named_as_such() {
    let url = format!("mqtt://127.0.0.1:{}", free_port());
    let (kind, text) = complaint(MqttConfig::new("h", url));
    assert_eq!((kind.as_str(), text.contains("refused")), ("refused", true), "{text}");
}

#[test]
fn a_peer_that_speaks_something_else_is_called_so() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listener");
    let url = format!("mqtt://{}", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("stream");
            let mut greeting = [0; 4096];
            drop(stream.read(&mut greeting));
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"));
        }
    });
    let (kind, text) = complaint(MqttConfig::new("h", url));
    assert_eq!(kind, "protocol", "{text}");
}

#[test]
fn wrong_credentials_are_called_so() {
    let dir = tempfile::tempdir().expect("tempdir");
    let password = dir.path().join("password");
    std::fs::write(&password, "right\n").expect("password file");
    let broker = Mosquitto::with_user(dir.path(), "s7mpa", "right");
    let access = BrokerAccess {
        user: Some("s7mpa".into()),
        password: Some(password.clone().into()),
        ..BrokerAccess::new(broker.url())
    };
    let config = MqttConfig { delivery: Delivery::Broker, ..MqttConfig::new("h", access.clone()) };
    let sink = start_sink(config.clone(), dir.path());
    eventually("connected", || sink.stats().connected);
    sink.close(Duration::from_secs(1)).expect("close");
    std::fs::write(&password, "wrong").expect("password file");
    assert_eq!(complaint(config.clone()).0, "credentials");
    assert_eq!(complaint(with(&config, |broker| broker.user = None)).0, "credentials");
    std::fs::remove_file(&password).expect("remove");
    let (kind, text) = complaint(config);
    assert_eq!((kind.as_str(), text.contains("password file")), ("config", true), "{text}");
}

#[test]
fn wrong_credentials_at_the_embedded_broker_are_called_so() {
    let dir = tempfile::tempdir().expect("tempdir");
    let server = Child::start(&ServerSpec::embedded(dir.path()));
    let wrong = dir.path().join("wrong");
    std::fs::write(&wrong, "wrong").expect("password file");
    let config = with(&server.sink_config("h"), |broker| broker.password = Some(wrong.clone().into()));
    let (kind, text) = complaint(config);
    assert_eq!((kind.as_str(), text.contains("password")), ("credentials", true), "{text}");
}

fn tls_broker(dir: &Path, certificate: &str, more: &str) -> Mosquitto {
    let certificate_file = tls(&format!("{certificate}.pem"));
    let key_file = tls(&format!("{certificate}.key"));
    Mosquitto::start(
        dir,
        &format!("certfile {}\nkeyfile {}\n{more}", certificate_file.display(), key_file.display()),
    )
}

fn tls_config(broker: &Mosquitto) -> MqttConfig {
    MqttConfig {
        delivery: Delivery::Broker,
        ..MqttConfig::new(
            "h",
            BrokerAccess {
                ca: Some(tls("ca.pem").into()),
                ..BrokerAccess::new(format!("mqtts://localhost:{}", broker.port))
            },
        )
    }
}

fn sends_a_window(config: MqttConfig) {
    let dir = tempfile::tempdir().expect("tempdir");
    let sink = start_sink(config, dir.path());
    sink.publish_window(window(300));
    eventually("acknowledged", || {
        let stats = sink.stats();
        assert_eq!(stats.error, None);
        stats.acked == 1
    });
    sink.close(Duration::from_secs(1)).expect("close");
}

#[test]
fn tls_works_and_its_failures_are_distinguished() {
    let dir = tempfile::tempdir().expect("tempdir");
    let broker = tls_broker(dir.path(), "localhost", "");
    sends_a_window(tls_config(&broker));

    let config = tls_config(&broker);
    let untrusted = with(&config, |broker| broker.ca = Some(tls("other-ca.pem").into()));
    assert_eq!(complaint(untrusted).0, "tls-authority");
    let other_name = with(&config, |access| access.url = format!("mqtts://127.0.0.1:{}", broker.port));
    let (kind, text) = complaint(other_name);
    assert_eq!((kind.as_str(), text.contains("127.0.0.1")), ("tls-name", true), "{text}");
    let no_file = with(&config, |broker| broker.ca = Some(Content::File("/does/not/exist.pem".into())));
    assert_eq!(complaint(no_file).0, "config");

    let plain = Mosquitto::start(&dir.path().join("plain"), "");
    let (kind, text) = complaint(tls_config(&plain));
    assert_eq!(kind, "tls", "{text}");
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let dir = tempfile::tempdir().expect("tempdir");
    let broker = tls_broker(dir.path(), "broker.test", "");
    let (kind, text) = complaint(tls_config(&broker));
    assert_eq!((kind.as_str(), text.contains("`localhost`")), ("tls-name", true), "{text}");
}

#[test]
fn a_client_certificate_is_shown_where_it_is_wanted() {
    let dir = tempfile::tempdir().expect("tempdir");
    let wanted = format!("cafile {}\nrequire_certificate true", tls("ca.pem").display());
    let broker = tls_broker(dir.path(), "localhost", &wanted);
    let without = tls_config(&broker);
    let shown = with(&without, |broker| {
        broker.cert = Some(tls("client.pem").into());
        broker.key = Some(tls("client.key").into());
    });
    sends_a_window(shown);
    let (kind, text) = complaint(without);
    assert_eq!((kind.as_str(), text.contains("client certificate")), ("credentials", true), "{text}");
}

/// Reads retained messages below a host until one satisfies, by topic and payload.
async fn retained(url: &str, filter: &str, is: impl Fn(&str, &str) -> bool) {
    let mut link = Link::open(&Options::new(url, "reader")).expect("link");
    link.subscribe(filter).expect("room");
    loop {
        match link.next().await {
            Event::Received(m) if is(m.topic(), std::str::from_utf8(m.payload()).expect("text")) => return,
            Event::Closed(failure) => panic!("{failure}"),
            _ => {}
        }
    }
}

#[test]
fn status_and_alerts_are_retained_and_end() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut broker = Mosquitto::start(dir.path(), "persistence false");
    let config = MqttConfig {
        delivery: Delivery::Broker,
        backoff_most: Duration::from_millis(500),
        ..MqttConfig::new("h", broker.url())
    };
    let sink = start_sink(config, dir.path());
    sink.publish_alert("cpu-user/process/1/2", "{\"state\":\"open\"}", true, None);
    sink.publish(Channel::Report, "{\"n\":1}", true, None);
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let url = broker.url();
    runtime.block_on(async {
        retained(&url, "s7mpa/v1/h/status", |_, p| p.contains("\"online\"")).await;
        retained(&url, "s7mpa/v1/h/alert/+", |_, p| p.contains("open")).await;
    });
    // A broker that has lost its retained messages gets them again.
    broker.kill();
    broker.start_again();
    runtime.block_on(async {
        retained(&url, "s7mpa/v1/h/alert/+", |_, p| p.contains("open")).await;
        retained(&url, "s7mpa/v1/h/report", |_, p| p == "{\"n\":1}").await;
    });
    sink.publish_alert("cpu-user/process/1/2", "{\"state\":\"resolved\"}", false, None);
    sink.close(Duration::from_secs(5)).expect("close");
    runtime.block_on(async {
        retained(&url, "s7mpa/v1/#", |topic, payload| {
            assert!(!topic.contains("/alert/"), "the alert is over: {payload}");
            topic.ends_with("/status") && payload.contains("\"offline\"") && payload.contains("stopped")
        })
        .await;
    });
}

/// A packet over 10 kB breaks the connection with rumqttc's defaults.
#[test]
fn a_window_of_many_processes_fits() {
    let dir = tempfile::tempdir().expect("tempdir");
    let server = Child::start(&ServerSpec::embedded(dir.path()));
    let sink = start_sink(server.sink_config("h"), dir.path());
    sink.publish_window(window(20_000));
    eventually("acknowledged", || sink.stats().acked == 1);
    assert_eq!(sink.close(Duration::from_secs(5)).expect("close").connections, 1, "the packet broke none");
}
