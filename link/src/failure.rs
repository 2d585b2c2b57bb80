//! Why there is no connection.

use std::fmt;

use agent_common::settings::Content;
use serde::Serialize;

/// Kind of a failed connection, for counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// URL or a named file.
    Config,
    /// The name does not resolve.
    Dns,
    /// No process listens there, or there is no route.
    Refused,
    /// No answer in time.
    Timeout,
    /// The certificate is for another name.
    TlsName,
    /// The certificate's issuer is not trusted.
    TlsAuthority,
    /// Anything else in TLS.
    Tls,
    /// User, password or client id refused.
    Credentials,
    /// The broker closed the connection.
    Closed,
    /// The peer does not speak MQTT as it should.
    Protocol,
}

/// Why there is no connection, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// The kind.
    pub kind: FailureKind,
    /// For people.
    pub text: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// A file of the operator's that is of no use.
    pub(crate) fn unreadable(what: &str, content: &Content, error: &dyn fmt::Display) -> Self {
        Self::new(FailureKind::Config, format!("{what} {content}: {error}"))
    }
}
