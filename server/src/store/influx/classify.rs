//! What an answer, or none, means: one line each that says which setting is wrong.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::Url;

use crate::store::StoreError;

/// Outcome of a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// The server took it.
    Done,
    /// It took what it could and will never take the rest.
    Partial {
        /// Points lost; at least 1.
        dropped: u64,
        /// Its words.
        text: String,
    },
    /// It wants less in one request.
    TooLarge,
    /// It did not take it.
    Failed(StoreError),
}

/// Marks the one failure that this program mends itself.
const NO_DATABASE: &str = "database missing";

impl Answer {
    /// InfluxDB 1 does not know the database.
    pub(super) fn database_missing(&self) -> bool {
        matches!(self, Self::Failed(StoreError::Misconfigured { what, .. }) if what.contains(NO_DATABASE))
    }
}

/// The server, for people: scheme, host, port, path.
pub(super) fn place(base: &Url) -> String {
    let port = base.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = base.path().trim_end_matches('/');
    format!("{}://{}{port}{path}", base.scheme(), base.host_str().unwrap_or_default())
}

/// A setting is wrong. The time to wait is filled in by the store.
pub(super) fn misconfigured(what: String, source: Option<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Misconfigured { what, retry_after: Duration::from_secs(1), source }
}

/// It may come back by itself.
pub(super) fn unavailable(what: String, source: Option<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Unavailable { what, retry_after: Duration::from_secs(1), source }
}

/// The meaning of a status with its text.
pub(super) fn status(place: &str, status: u16, text: &str) -> Answer {
    let said = said(text);
    let has = |words: &[&str]| words.iter().any(|word| said.to_ascii_lowercase().contains(word));
    let wrong = |what: String| Answer::Failed(misconfigured(format!("{place}: {what}"), None));
    match status {
        200 if text.trim_start().starts_with('<') => {
            wrong("that is a web page, not a write API: the URL is wrong, or a proxy asks for a login".into())
        }
        200 | 204 => Answer::Done,
        300..=399 => wrong(format!("the server redirects ({status}): write its own address into the URL")),
        400 if has(&["http request to an https server", "plain http request"]) => {
            wrong("the server speaks TLS: write https:// into the URL".into())
        }
        400 | 422
            if has(&["partial write", "unable to parse", "type conflict", "retention", "unprocessable"]) =>
        {
            Answer::Partial { dropped: dropped(&said).max(1), text: format!("{place}: {said}") }
        }
        400 if has(&["unsupported path"]) => wrong(format!("no write API there: {said}")),
        401 | 403 => wrong(format!("token or password refused ({status}): {said}")),
        404 if has(&["database not found"]) => wrong(format!("{NO_DATABASE}: {said}")),
        404 if has(&["bucket", "organization"]) => wrong(format!("bucket or organization missing: {said}")),
        404 | 405 => wrong(format!(
            "no write API there ({status}): the URL is wrong, or the server is of another version"
        )),
        413 => Answer::TooLarge,
        408 | 425 | 429 | 500..=599 => Answer::Failed(unavailable(
            format!("{place}: overloaded or out of order ({status}): {said}"),
            None,
        )),
        _ => Answer::Failed(StoreError::Rejected { what: format!("{place}: refused ({status}): {said}") }),
    }
}

/// The server's words on one line: the message of its JSON, or the text's first 200 characters.
pub(in crate::store) fn said(text: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let message =
        json.as_ref().and_then(|json| json.get("message").or(json.get("error")).and_then(|m| m.as_str()));
    let words = message.unwrap_or(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = words.chars().filter(|c| !c.is_control()).take(200).collect();
    if short.len() < words.len() {
        short.push('…');
    }
    // InfluxDB says how many it dropped at the very end.
    if let Some(at) = words.rfind("dropped=").filter(|_| !short.contains("dropped=")) {
        short.push_str(&words[at..].chars().take(24).collect::<String>());
    }
    short
}

/// `dropped=N` of InfluxDB's partial writes.
fn dropped(said: &str) -> u64 {
    let Some(at) = said.rfind("dropped=") else { return 0 };
    let digits: String = said[at + 8..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// Why there was no answer.
pub(in crate::store) fn transport(place: &str, source: reqwest::Error) -> StoreError {
    // Its text repeats the URL with bucket and organization.
    let source = source.without_url();
    let mut causes: Vec<&(dyn Error + 'static)> = Vec::new();
    let mut next: Option<&(dyn Error + 'static)> = Some(&source);
    while let Some(cause) = next {
        causes.push(cause);
        // An io::Error passes its inner error's source on, not the inner error itself.
        next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    let kind = |kind: io::ErrorKind| {
        causes.iter().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == kind))
    };
    let words = causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let has = |word: &str| words.contains(word);
    let what = if has("invalid peer certificate") {
        let why = if has("NotValidForName") || has("not valid for name") {
            "the server's certificate is for another name than the URL's (TLS name mismatch)"
        } else if has("UnknownIssuer") {
            "the server's certificate comes from an authority that is not trusted here (set ca_file)"
        } else if has("Expired") || has("NotValidYet") {
            "the server's certificate is not valid at this time"
        } else {
            "the server's certificate is not accepted"
        };
        return misconfigured(format!("{place}: {why}"), Some(source.into()));
    } else if has("corrupt message") || has("InvalidContentType") {
        return misconfigured(
            format!("{place}: the server does not speak TLS: write http:// into the URL"),
            Some(source.into()),
        );
    } else if has("invalid HTTP version") {
        let what = "the answer is not HTTP: the server speaks TLS (write https://), or it is no database";
        return misconfigured(format!("{place}: {what}"), Some(source.into()));
    } else if has("received fatal alert") {
        return misconfigured(format!("{place}: the server refused the TLS connection"), Some(source.into()));
    } else if has("dns error") || has("failed to lookup") {
        return misconfigured(format!("{place}: no address for this host name (DNS)"), Some(source.into()));
    } else if kind(io::ErrorKind::ConnectionRefused) {
        "connection refused: no server listens there"
    } else if source.is_timeout() && source.is_connect() {
        "no connection in time: host down, or a firewall"
    } else if source.is_timeout() {
        "no answer in time"
    } else if source.is_connect() {
        "cannot connect"
    } else {
        "connection lost"
    };
    unavailable(format!("{place}: {what}"), Some(source.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: u16, text: &str) -> String {
        match status("http://h", code, text) {
            Answer::Failed(error) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_answer_has_its_one_line() {
        assert_eq!(
            failed(401, r#"{"code":"unauthorized","message":"unauthorized access"}"#),
            "http://h: token or password refused (401): unauthorized access"
        );
        assert_eq!(
            failed(404, r#"{"code":"not found","message":"bucket \"b\" not found"}"#),
            "http://h: bucket or organization missing: bucket \"b\" not found"
        );
        assert!(failed(404, "404 page not found").contains("the URL is wrong"));
        assert!(failed(301, "").contains("redirects"));
        assert!(failed(200, "<html>log in</html>").contains("web page"));
        assert!(matches!(status("http://h", 200, "{}"), Answer::Done));
        assert!(failed(400, "Client sent an HTTP request to an HTTPS server.").contains("https://"));
        assert!(status("http://h", 404, r#"{"error":"database not found: \"x\""}"#).database_missing());
        assert!(matches!(status("http://h", 413, ""), Answer::TooLarge));
        assert!(matches!(status("http://h", 204, ""), Answer::Done));
    }

    #[test]
    fn only_what_may_come_back_is_unavailable() {
        for code in [429, 500, 502, 503, 504] {
            assert!(
                matches!(status("p", code, ""), Answer::Failed(StoreError::Unavailable { .. })),
                "{code}"
            );
        }
        assert!(matches!(status("p", 400, "what"), Answer::Failed(StoreError::Rejected { .. })));
        assert!(matches!(status("p", 401, ""), Answer::Failed(StoreError::Misconfigured { .. })));
    }

    #[test]
    fn a_partial_write_counts_what_was_dropped() {
        let text = format!(
            r#"{{"error":"partial write: field type conflict: input field \"a\" {} dropped=3"}}"#,
            "on measurement \\\"m\\\" ".repeat(30)
        );
        let Answer::Partial { dropped, text } = status("p", 400, &text) else { panic!("partial") };
        assert_eq!(dropped, 3);
        assert!(text.len() < 300 && text.ends_with("dropped=3"), "{text}");
        assert!(matches!(status("p", 422, "unprocessable entity"), Answer::Partial { dropped: 1, .. }));
    }
}
