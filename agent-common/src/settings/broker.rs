//! How to reach a broker.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A secret, a certificate or a key: the file that holds it, or its text.
///
/// A process without privileges may not be able to read the operator's files. The process that starts it reads them
/// and passes the texts on ([`Content::embed`]).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Where it is. It is read each time it is needed.
    File(PathBuf),
    /// What it is.
    Text(String),
}

/// Largest file that is taken for a secret or a list of certificates. Debian's list of all authorities has 220 KiB.
const MAX_BYTES: u64 = 1 << 20;

impl Content {
    /// The text.
    pub fn read(&self) -> io::Result<Cow<'_, str>> {
        use io::Read as _;
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::File(path) => {
                let mut text = String::new();
                let read = std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
                if read as u64 > MAX_BYTES {
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB"));
                }
                Ok(text.into())
            }
        }
    }

    /// The text without one line end at its end: passwords and tokens stand on a line of their own.
    pub fn read_secret(&self) -> io::Result<String> {
        let mut text = self.read()?.into_owned();
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
    }

    /// The same as text. An error names the file.
    pub fn embed(&self, what: &str) -> io::Result<Self> {
        match self.read() {
            Ok(text) => Ok(Self::Text(text.into_owned())),
            Err(error) => Err(io::Error::new(error.kind(), format!("{what} {self}: {error}"))),
        }
    }
}

impl From<PathBuf> for Content {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Text(_) => f.write_str("in the configuration"),
        }
    }
}

impl fmt::Debug for Content {
    /// Logs may print settings: the text stays out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text(…)"),
        }
    }
}

/// A broker and what it asks of its clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerAccess {
    /// `mqtt://host:port` or `mqtts://host:port`; ports default to 1883 and 8883.
    pub url: String,
    /// User name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password; one line end at its end is not part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Content>,
    /// PEM certificates of the authorities to trust in place of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Content>,
    /// PEM certificate chain of this client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<Content>,
    /// PEM key to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Content>,
}

impl<T: Into<String>> From<T> for BrokerAccess {
    /// A URL is a broker that asks for nothing.
    fn from(url: T) -> Self {
        Self::new(url)
    }
}

impl BrokerAccess {
    /// A broker that asks for nothing.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// The same with the content of all files. An error names the file.
    pub fn embed(&self) -> io::Result<Self> {
        let embed = |content: &Option<Content>, what| content.as_ref().map(|c| c.embed(what)).transpose();
        Ok(Self {
            url: self.url.clone(),
            user: self.user.clone(),
            password: embed(&self.password, "password file")?,
            ca: embed(&self.ca, "CA file")?,
            cert: embed(&self.cert, "client certificate")?,
            key: embed(&self.key, "client key")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_nowhere_and_ends_before_its_line_end() {
        let secret = Content::Text("hush\r\n".to_owned());
        assert_eq!(secret.read_secret().expect("text"), "hush");
        let access = BrokerAccess { password: Some(secret), ..BrokerAccess::new("mqtt://h") };
        assert!(!format!("{access:?}").contains("hush"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let access = BrokerAccess {
            key: Some(PathBuf::from("/no/such.key").into()),
            ..BrokerAccess::new("mqtts://h")
        };
        let error = access.embed().expect_err("no file").to_string();
        assert!(error.starts_with("client key /no/such.key: "), "{error}");
    }
}
