//! What the library's errors mean, in one line for people.

use std::io;

use rumqttc::tokio_rustls::rustls;
use rumqttc::{ConnectReturnCode, ConnectionError, StateError, TlsError};

use crate::address::Address;
use crate::failure::{Failure, FailureKind};

/// What failures are explained with.
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) credentials: bool,
}

impl Target {
    pub(crate) fn failure(&self, e: &ConnectionError, connected: bool) -> Failure {
        let at = &self.address;
        let fail = |kind, text: String| Failure::new(kind, format!("broker {at}: {text}"));
        match e {
            ConnectionError::ConnectionRefused(code) => match code {
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
                    fail(FailureKind::Credentials, "user or password refused".into())
                }
                ConnectReturnCode::BadClientId => fail(FailureKind::Credentials, "client id refused".into()),
                other => fail(FailureKind::Protocol, format!("connection refused: {other:?}")),
            },
            ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
                fail(FailureKind::Timeout, "no answer in time".into())
            }
            ConnectionError::Io(e) => self.io_failure(e, false),
            ConnectionError::Tls(e) => self.tls_failure(e),
            ConnectionError::MqttState(StateError::ConnectionAborted) if !connected => self.no_greeting(),
            ConnectionError::MqttState(StateError::ConnectionAborted) => {
                fail(FailureKind::Closed, "connection closed by the broker".into())
            }
            ConnectionError::MqttState(
                StateError::Io(e) | StateError::Deserialization(rumqttc::Error::Io(e)),
            ) => match e.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe if !connected => {
                    self.no_greeting()
                }
                // The codec's word for an answer that is not a whole packet.
                io::ErrorKind::Other if !connected => {
                    fail(FailureKind::Protocol, "its answer is not MQTT".into())
                }
                _ => self.io_failure(e, false),
            },
            ConnectionError::RequestsDone => fail(FailureKind::Closed, "closed by us".into()),
            other => fail(FailureKind::Protocol, format!("not MQTT as expected: {other}")),
        }
    }

    /// The connection ended before the broker's CONNACK: rumqttd's only answer to a wrong password.
    fn no_greeting(&self) -> Failure {
        let why = if self.credentials {
            "user or password refused, or not an MQTT broker"
        } else {
            "it wants a user and a password, or TLS, or is not an MQTT broker"
        };
        Failure::new(
            FailureKind::Credentials,
            format!("broker {}: closed at the greeting: {why}", self.address),
        )
    }

    fn io_failure(&self, e: &io::Error, handshake: bool) -> Failure {
        let at = &self.address;
        if let Some(tls) = e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
            return self.rustls_failure(tls);
        }
        // The standard library has no kind of its own for a name that does not resolve.
        if e.to_string().contains("failed to lookup address") {
            return Failure::new(
                FailureKind::Dns,
                format!("broker {at}: the name `{}` does not resolve", at.host),
            );
        }
        match e.kind() {
            io::ErrorKind::ConnectionRefused => Failure::new(
                FailureKind::Refused,
                format!("broker {at}: connection refused: no server listens there"),
            ),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Failure::new(FailureKind::Refused, format!("broker {at}: no way there ({e})"))
            }
            io::ErrorKind::TimedOut => {
                Failure::new(FailureKind::Timeout, format!("broker {at}: no answer in time"))
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset if handshake => Failure::new(
                FailureKind::Tls,
                format!(
                    "broker {at}: closed in the TLS handshake (no TLS at this port, or it wants a client certificate)"
                ),
            ),
            _ => Failure::new(FailureKind::Closed, format!("broker {at}: {e}")),
        }
    }

    fn tls_failure(&self, e: &TlsError) -> Failure {
        match e {
            TlsError::Io(e) => self.io_failure(e, true),
            TlsError::TLS(e) => self.rustls_failure(e),
            other => Failure::new(FailureKind::Tls, format!("broker {}: TLS: {other}", self.address)),
        }
    }

    fn rustls_failure(&self, e: &rustls::Error) -> Failure {
        use rustls::{AlertDescription, CertificateError, Error};
        let at = &self.address;
        match e {
            Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => Failure::new(
                FailureKind::TlsName,
                format!("broker {at}: TLS: its certificate is not for the name `{}`", at.host),
            ),
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => Failure::new(
                FailureKind::TlsAuthority,
                format!(
                    "broker {at}: TLS: its certificate is by an authority that is not trusted (name it as CA file)"
                ),
            ),
            Error::AlertReceived(AlertDescription::CertificateRequired) => Failure::new(
                FailureKind::Credentials,
                format!("broker {at}: TLS: it wants a client certificate"),
            ),
            Error::InvalidMessage(_) => Failure::new(
                FailureKind::Tls,
                format!("broker {at}: TLS: what answers there does not speak TLS"),
            ),
            other => Failure::new(FailureKind::Tls, format!("broker {at}: TLS: {other}")),
        }
    }
}
