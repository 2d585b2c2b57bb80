//! Who sent a request, and to which name: what the connection says, and what proxies say that are believed.

use std::net::{IpAddr, SocketAddr};

use agent_common::settings::Subnet;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::HOST;

/// A connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// The other end.
    pub(super) address: SocketAddr,
    /// Ours.
    pub(super) local: SocketAddr,
    /// It is encrypted.
    pub(super) tls: bool,
}

/// Who sent a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client<'r> {
    /// From where, before the proxies.
    pub(super) address: IpAddr,
    /// Its part of the way is encrypted.
    pub(super) secure: bool,
    /// The host that it named, with its port.
    pub(super) host: Option<&'r str>,
}

impl<'r> Client<'r> {
    /// The headers of a proxy count only where the connection comes from one that is trusted: anybody can send them.
    pub(super) fn of(request: &'r Request, peer: Peer, trusted: &[Subnet]) -> Self {
        let headers = request.headers();
        let is_trusted = |address: IpAddr| trusted.iter().any(|subnet| subnet.contains(address));
        let own = Self { address: peer.address.ip(), secure: peer.tls, host: host(request) };
        if own.host.is_none() || !is_trusted(own.address) {
            return own;
        }
        let secure = last(headers, "x-forwarded-proto").map_or(own.secure, |scheme| scheme == "https");
        let host = last(headers, "x-forwarded-host").or(own.host);
        Self { address: before(headers, own.address, is_trusted), secure, host }
    }
}

/// The host of a request: one, and the same in the address, if that has one.
fn host(request: &Request) -> Option<&str> {
    let mut all = request.headers().get_all(HOST).iter();
    let host = all.next()?.to_str().ok()?;
    let other = request.uri().authority().is_some_and(|named| named.as_str() != host);
    (all.next().is_none() && !other).then_some(host)
}

/// What the nearest proxy says: each adds behind what it was sent.
fn last<'r>(headers: &'r HeaderMap, name: &str) -> Option<&'r str> {
    headers.get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// The last address that no trusted proxy has: those before it may be invented.
fn before(headers: &HeaderMap, proxy: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let lists: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|list| list.to_str().ok()).collect();
    let mut seen = proxy;
    for text in lists.iter().rev().flat_map(|list| list.rsplit(',')).map(str::trim) {
        let Ok(address) = text.parse::<IpAddr>() else { break };
        seen = address;
        if !is_trusted(address) {
            break;
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let mut builder = axum::http::Request::builder().uri("/x");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::empty()).unwrap()
    }

    fn seen(headers: &[(&str, &str)], from: &str) -> (String, bool, Option<String>) {
        let trusted: Vec<Subnet> = ["127.0.0.1", "10.0.0.0/8"].iter().map(|t| t.parse().unwrap()).collect();
        let peer = Peer {
            address: SocketAddr::new(from.parse().unwrap(), 1),
            local: SocketAddr::from(([127, 0, 0, 1], 7676)),
            tls: false,
        };
        let request = request(headers);
        let client = Client::of(&request, peer, &trusted);
        (client.address.to_string(), client.secure, client.host.map(str::to_owned))
    }

    #[test]
    fn proxies_are_believed_where_they_are_trusted_alone() {
        let forwarded = [
            ("host", "inner"),
            ("x-forwarded-for", "1.1.1.1, 8.8.8.8, 10.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "outer"),
        ];
        assert_eq!(seen(&forwarded, "127.0.0.1"), ("8.8.8.8".to_owned(), true, Some("outer".to_owned())));
        assert_eq!(seen(&forwarded, "9.9.9.9"), ("9.9.9.9".to_owned(), false, Some("inner".to_owned())));
        let none = [("host", "inner")];
        assert_eq!(seen(&none, "127.0.0.1"), ("127.0.0.1".to_owned(), false, Some("inner".to_owned())));
        let nonsense = [("host", "inner"), ("x-forwarded-for", "8.8.8.8, nonsense")];
        assert_eq!(seen(&nonsense, "127.0.0.1").0, "127.0.0.1");
        let two = [("host", "inner"), ("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "8.8.8.8")];
        assert_eq!(seen(&two, "127.0.0.1").0, "8.8.8.8");
        assert_eq!(seen(&[("host", "a"), ("host", "b")], "127.0.0.1").2, None);
    }
}
