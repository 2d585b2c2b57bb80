//! Texts of single settings to values.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::super::parse_duration;

pub(super) fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(super) fn within<T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy>(
    text: &str,
    low: T,
    high: T,
) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(value) if value >= low && value <= high => Ok(value),
        _ => Err(format!("`{text}` is not a whole number between {low} and {high}")),
    }
}

/// An address of HTTP, which may hold a password: no error repeats it.
pub(super) fn url(text: &str, example: &str) -> Result<Option<String>, String> {
    if text.is_empty() || text.starts_with("http://") || text.starts_with("https://") {
        return Ok(some(text));
    }
    Err(format!("it is not a URL; write it as {example}"))
}

pub(super) fn path(text: &str) -> Result<Option<PathBuf>, String> {
    some(text).map(|text| absolute(&text)).transpose()
}

pub(super) fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(format!("`{text}` is not an absolute path; start it with /"))
    }
}

/// An address with a port.
pub(super) fn address(text: &str, example: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an address with a port, such as {example}"))
}

/// What is between commas.
pub(super) fn list<T>(text: &str, one: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(one).collect()
}

/// `stdio=1d`: how long the log lines of a source are kept.
pub(super) fn source_age(text: &str) -> Result<(String, Duration), String> {
    const SOURCES: [&str; 5] = ["journal", "kmsg", "file", "container", "stdio"];
    let wrong = || {
        format!("`{text}` is not a source and a duration; write it as stdio=1d, with {}", SOURCES.join(", "))
    };
    let (source, age) = text.split_once('=').ok_or_else(wrong)?;
    if !SOURCES.contains(&source.trim()) {
        return Err(wrong());
    }
    Ok((source.trim().to_owned(), parse_duration(age)?))
}

/// A host's name or address, without a port.
pub(super) fn host(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if text.chars().all(allowed) || text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!(
        "`{text}` is not the name of a host; write it without scheme and port, such as monitor.example.com"
    ))
}

/// Nothing, or `/a/b`.
pub(super) fn prefix(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    if path.is_empty() || (path.starts_with('/') && path.chars().all(allowed) && !path.contains("//")) {
        return Ok(path.to_owned());
    }
    Err(format!("`{text}` is not a path; write it as /s7mpa"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_hosts_and_prefixes_are_read_or_refused() {
        assert_eq!(list("a.example, B ,", host), Ok(vec!["a.example".to_owned(), "b".to_owned()]));
        for wrong in ["http://a", "a:7676", "a b", "a/b"] {
            assert!(list(wrong, host).is_err(), "{wrong}");
        }
        assert_eq!(host("fd00::1"), Ok("fd00::1".to_owned()));
        assert_eq!((prefix(""), prefix("/")), (Ok(String::new()), Ok(String::new())));
        assert_eq!(prefix("/a/b/"), Ok("/a/b".to_owned()));
        for wrong in ["a", "/a?b", "//a", "/a b"] {
            assert!(prefix(wrong).is_err(), "{wrong}");
        }
    }
}
