//! `mqtt://` and `mqtts://` URLs.

use std::fmt;
use std::str::FromStr;

/// A broker's address. `Display` leaves the password out.
#[derive(Clone, PartialEq, Eq)]
pub struct MqttUrl {
    /// `mqtts`: TLS.
    pub tls: bool,
    /// User.
    pub user: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// Host name or address, an IPv6 address without brackets.
    pub host: String,
    /// Port: 1883, with TLS 8883, unless the URL names one.
    pub port: u16,
}

impl MqttUrl {
    /// `mqtt://host:port`, as the links want it.
    #[must_use]
    pub fn without_login(&self) -> String {
        Self { user: None, password: None, ..self.clone() }.to_string()
    }
}

impl FromStr for MqttUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = "write it as mqtt://[user[:password]@]host[:port], or mqtts:// for TLS";
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| format!("`{text}` has no scheme; {shape}"))?;
        let tls = match scheme {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" | "tls" => true,
            _ => return Err(format!("`{scheme}` is not a scheme of MQTT; {shape}")),
        };
        let rest = rest.trim_end_matches('/');
        let (login, place) =
            rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
        let (host, port) = split_port(place);
        let port = match port {
            None if tls => 8883,
            None => 1883,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| format!("`{port}` is not a port; {shape}"))?,
        };
        if host.is_empty() || host.contains(['/', '?', '#', ' ']) {
            return Err(format!("`{place}` is not a host; {shape}"));
        }
        let (user, password) = match login {
            None => (None, None),
            Some(login) => match login.split_once(':') {
                None => (Some(decode(login)), None),
                Some((user, password)) => (Some(decode(user)), Some(decode(password))),
            },
        };
        Ok(Self { tls, user, password, host: host.to_owned(), port })
    }
}

/// Host and port text of `host`, `host:port`, `[v6]`, `[v6]:port`.
fn split_port(place: &str) -> (&str, Option<&str>) {
    if let Some((host, after)) = place.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        return (host, after.strip_prefix(':'));
    }
    match place.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    }
}

/// Undoes `%40` and the like, which a password with `@`, `:` or `/` needs.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl fmt::Display for MqttUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "mqtts://" } else { "mqtt://" })?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        write!(f, ":{}", self.port)
    }
}

impl fmt::Debug for MqttUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_the_password() {
        let url: MqttUrl = "mqtts://me:p%40ss@broker.example:8884".parse().unwrap();
        assert_eq!(url.password.as_deref(), Some("p@ss"));
        assert_eq!((url.tls, url.port), (true, 8884));
        assert_eq!(url.to_string(), "mqtts://me@broker.example:8884");
        assert!(!format!("{url:?}").contains("p@ss"));
        assert_eq!("mqtt://[::1]".parse::<MqttUrl>().unwrap().to_string(), "mqtt://[::1]:1883");
    }

    #[test]
    fn a_wrong_url_says_what_would_be_right() {
        for wrong in ["broker:1883", "http://broker", "mqtt://", "mqtt://a:b:c", "mqtt://a:0", "mqtt://a b"] {
            assert!(wrong.parse::<MqttUrl>().unwrap_err().contains("mqtt://["), "{wrong}");
        }
    }
}
