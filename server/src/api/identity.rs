//! Who a request is of: a token, or the session that a cookie names.

use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

use crate::access::{Access, AccessError, Role, Session, digest, now};

/// Who.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// Account or token.
    pub(super) name: String,
    /// What it may do.
    pub(super) role: Role,
    /// What shows it.
    pub(super) by: By,
}

/// What shows who somebody is.
#[derive(Debug, Clone)]
pub(super) enum By {
    /// The token in the file of the server's owner.
    Owner,
    /// Another token; when it ends.
    Token(Option<i64>),
    /// The cookie of a browser.
    Session(Session),
}

impl By {
    /// When it stops showing that, Unix seconds; `None`: it does not.
    pub(super) fn expires_at(&self) -> Option<i64> {
        match self {
            Self::Owner => None,
            Self::Token(expires_at) => *expires_at,
            Self::Session(session) => Some(session.expires_at()),
        }
    }

    /// A browser sends it by itself, also when a foreign page makes it ask.
    pub(super) const fn is_cookie(&self) -> bool {
        matches!(self, Self::Session(_))
    }
}

/// What is looked up.
#[derive(Debug)]
pub(super) struct Identities {
    /// SHA-256 of the token in the file.
    pub(super) owner: [u8; 32],
    /// The rest.
    pub(super) access: Arc<Access>,
}

/// What a request shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing.
    Nothing,
    /// Something that can be nobody's.
    Wrong,
    /// A token.
    Token(String),
    /// A session's secret.
    Cookie(String),
}

/// A token goes before a cookie: a program that sends both means the token.
pub(super) fn shown(headers: &HeaderMap, cookie: &str) -> Shown {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => token(value.as_bytes()).map_or(Shown::Wrong, Shown::Token),
        (Some(_), Some(_)) => Shown::Wrong,
        (None, _) => self::cookie(headers, cookie).map_or(Shown::Nothing, Shown::Cookie),
    }
}

/// `Bearer`; the word that InfluxDB's clients write; and for clients that know names and passwords alone, `Basic` with the token
/// as password.
fn token(value: &[u8]) -> Option<String> {
    let value = std::str::from_utf8(value).ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("Basic") {
        let login = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
        return login.split_once(':').map(|(_, password)| password.to_owned());
    }
    let known = ["Bearer", "Token"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    known.then(|| token.to_owned())
}

/// The password in the address, as clients of InfluxDB 1 send it who know nothing else. Only where programs write.
pub(super) fn token_of_query(uri: &Uri) -> Option<String> {
    let found = form_urlencoded::parse(uri.query()?.as_bytes()).find(|(name, _)| name == "p");
    found.map(|(_, value)| value.into_owned()).filter(|token| !token.is_empty())
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(own, _)| *own == name).map(|(_, value)| value.to_owned())
}

impl Identities {
    /// Who it is; `None`: nobody. Blocks.
    pub(super) fn find(&self, shown: &Shown) -> Result<Option<Identity>, AccessError> {
        match shown {
            Shown::Nothing | Shown::Wrong => Ok(None),
            Shown::Token(token) if bool::from(digest(token).ct_eq(&self.owner)) => {
                Ok(Some(Identity { name: "owner".to_owned(), role: Role::Admin, by: By::Owner }))
            }
            Shown::Token(token) => Ok(self.access.token(token, now())?.map(|token| Identity {
                name: token.name,
                role: token.role,
                by: By::Token(token.expires_at),
            })),
            Shown::Cookie(secret) => Ok(self.access.session(secret, now())?.map(|session| Identity {
                name: session.account.clone().unwrap_or_else(|| "agent open".to_owned()),
                role: session.role,
                by: By::Session(session),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_goes_before_a_cookie_and_two_of_them_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(shown(&headers, "a"), Shown::Nothing);
        headers.insert(COOKIE, HeaderValue::from_static("x=1; a=2; ab=3"));
        assert_eq!(shown(&headers, "a"), Shown::Cookie("2".to_owned()));
        assert_eq!(shown(&headers, "b"), Shown::Nothing);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("token abc"));
        assert_eq!(shown(&headers, "a"), Shown::Token("abc".to_owned()));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert_eq!(shown(&headers, "a"), Shown::Wrong);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic eDp5Ono="));
        assert_eq!(shown(&headers, "a"), Shown::Token("y:z".to_owned()));
        for wrong in ["Basic abc", "Basic eA==", "Digest x", "Bearer"] {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(wrong));
            assert_eq!(shown(&headers, "a"), Shown::Wrong, "{wrong}");
        }
    }
}
