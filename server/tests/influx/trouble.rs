//! Settings that are wrong: one line that says which.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use server::store::influx::{Api, InfluxStore, Options, Secret};
use server::store::{Store, StoreError};

use super::servers::{Database, free_port, now_ns};
use super::{open, v1, v2, windows};

const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/influx/tls");

/// The error of writing one window.
fn refused(options: Options) -> StoreError {
    open(options).write(&windows("h", now_ns(), 1)).expect_err("trouble")
}

fn assert_setting(error: &StoreError, words: &str) {
    assert!(matches!(error, StoreError::Misconfigured { .. }), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
    assert!(!error.to_string().contains('\n'));
    assert!(error.retry_after().is_some());
    let everything = format!("{error:?}");
    assert!(!everything.contains("very-secret"), "{everything}");
}

#[test]
fn a_url_that_is_none_is_refused_at_once() {
    for url in [
        "",
        "influx",
        "127.0.0.1:8086",
        "ftp://h",
        "http://",
        "http://user:very-secret@h",
        "http://h?db=x",
        "http://h#x",
    ] {
        let error = InfluxStore::open(v2(url)).expect_err(url);
        assert_setting(&error, "database URL `");
    }
}

#[test]
fn a_server_without_this_api_is_named() {
    let dir = tempfile::tempdir().expect("tempdir");
    let database = Database::influxdb(dir.path());
    assert_setting(&refused(v2(database.url())), "no write API there (404)");
    assert_setting(&refused(v1(format!("{}/prefix", database.url()))), "no write API there (404)");
}

#[test]
fn a_refused_token_is_named() {
    let dir = tempfile::tempdir().expect("tempdir");
    let database = Database::victoria_metrics(dir.path(), &["-httpAuth.username=u", "-httpAuth.password=p"]);
    assert_setting(&refused(v2(database.url())), "token or password refused (401)");
    let with = |password: &str| Options {
        api: Api::V1 { db: "d".into(), login: Some(("u".into(), Secret::new(password))) },
        ..v1(database.url())
    };
    assert_setting(&refused(with("very-secret")), "token or password refused (401)");
    open(with("p")).write(&windows("h", now_ns(), 1)).expect("the right password");
}

#[test]
fn a_host_name_without_address_is_named() {
    assert_setting(&refused(v2("http://no-such-host.invalid:8086")), "no address for this host name (DNS)");
}

#[test]
fn a_closed_port_is_distinguished_from_a_silent_one() {
    let error = refused(v2(format!("http://127.0.0.1:{}", free_port())));
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("connection refused"), "{error}");

    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
    let url = format!("http://{}", silent.local_addr().expect("address"));
    let error = refused(Options { timeout: Duration::from_millis(200), ..v2(url) });
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("no answer in time"), "{error}");
}

/// A TLS server with a certificate for `other.invalid` that ends every connection after the handshake.
fn tls_server() -> String {
    let cert = CertificateDer::from_pem_file(format!("{TLS}/server.pem")).expect("certificate");
    let key = PrivateKeyDer::from_pem_file(format!("{TLS}/server.key")).expect("key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .expect("server config");
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).expect("connection");
            // What is not TLS, or breaks off, is an error here; the client's view is what the tests look at.
            let _ = rustls::Stream::new(&mut connection, &mut stream).read(&mut [0; 1024]);
        }
    });
    format!("127.0.0.1:{port}")
}

#[test]
fn tls_faults_are_distinguished() {
    let address = tls_server();
    let ca_file = Some(format!("{TLS}/ca.pem").into());
    let https = || v2(format!("https://{address}"));
    assert_setting(&refused(Options { ca_file: ca_file.clone(), ..https() }), "TLS name mismatch");
    assert_setting(&refused(https()), "authority that is not trusted");
    assert_setting(&refused(v2(format!("http://{address}"))), "speaks TLS (write https://)");

    let error =
        InfluxStore::open(Options { ca_file: Some("/no/such/file".into()), ..https() }).expect_err("no file");
    assert_setting(&error, "cannot read the authorities in /no/such/file");
    let error = InfluxStore::open(Options { ca_file: Some(format!("{TLS}/server.key").into()), ..https() });
    assert_setting(&error.expect_err("no certificate"), "cannot read the authorities");

    let dir = tempfile::tempdir().expect("tempdir");
    let plain = Database::victoria_metrics(dir.path(), &[]);
    assert_setting(&refused(v2(plain.url().replace("http:", "https:"))), "does not speak TLS");
}
