//! Host and port of a broker.

use std::fmt;
use std::net::Ipv6Addr;

use crate::failure::{Failure, FailureKind};

/// Host and port of a broker URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::new(FailureKind::Config, format!("broker URL `{}`: {why}", without_password(url)))
        };
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| wrong("want mqtt://host[:port] or mqtts://host[:port]"))?;
        let tls = match scheme {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" | "tls" => true,
            _ => return Err(wrong("the scheme is neither mqtt nor mqtts")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(wrong("user and password go into their own settings"));
        }
        if rest.contains(['/', '?', '#']) {
            return Err(wrong("nothing may follow host and port"));
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']').ok_or_else(|| wrong("`]` is missing"))?;
                let _: Ipv6Addr = host.parse().map_err(|_| wrong("this is no IPv6 address"))?;
                (host, port.strip_prefix(':'))
            }
            None => rest.split_once(':').map_or((rest, None), |(h, p)| (h, Some(p))),
        };
        if host.is_empty() {
            return Err(wrong("the host is missing"));
        }
        let port = match port {
            None => {
                if tls {
                    8883
                } else {
                    1883
                }
            }
            Some(p) => p.parse().map_err(|_| wrong("the port is no number below 65536"))?,
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_or_refused_with_the_reason() {
        let ok = |url: &str| Address::parse(url).map(|a| (a.tls, a.to_string())).expect(url);
        assert_eq!(ok("mqtt://broker"), (false, "broker:1883".into()));
        assert_eq!(ok("mqtts://broker.example/"), (true, "broker.example:8883".into()));
        assert_eq!(ok("mqtt://[::1]:7677"), (false, "[::1]:7677".into()));
        assert_eq!(ok("tcp://10.0.0.1:1"), (false, "10.0.0.1:1".into()));
        for (url, why) in [
            ("broker:1883", "want mqtt://"),
            ("http://broker", "neither mqtt nor mqtts"),
            ("mqtt://user:secret@broker", "their own settings"),
            ("mqtt://", "host is missing"),
            ("mqtt://h:99999", "no number below 65536"),
            ("mqtt://h/path", "nothing may follow"),
            ("mqtt://[::1", "`]` is missing"),
        ] {
            let failure = Address::parse(url).expect_err(url);
            assert_eq!(failure.kind, FailureKind::Config);
            assert!(failure.text.contains(why), "{url}: {failure}");
            assert!(!failure.text.contains("secret"), "{failure}");
        }
    }
}
