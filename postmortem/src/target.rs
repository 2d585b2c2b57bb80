//! What a text names: addresses, host names, paths; and whether it speaks of a failed call.

use crate::facts::FailedCall;

/// Longest name that is taken out of a text, bytes: `PATH_MAX` is 4096, but nobody reads that.
const MAX_NAME_BYTES: usize = 256;
/// Shortest file name that is looked for without its directory: shorter ones stand in any text.
const MIN_BASENAME_BYTES: usize = 4;
/// Names of DNS have at most this many bytes.
const MAX_HOST_BYTES: usize = 253;

/// How a text speaks of a failed call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mention {
    /// It names path or peer.
    pub(crate) target: bool,
    /// It names the errno or has its text.
    pub(crate) errno: bool,
}

/// How the text speaks of the call.
pub(crate) fn mention(text: &str, call: &FailedCall) -> Mention {
    let lower = text.to_lowercase();
    let errno = !call.errno.is_empty()
        && (lower.contains(&call.errno.to_lowercase())
            || strerror(&call.errno).is_some_and(|words| lower.contains(words)));
    Mention { target: names_path(text, &call.path) || names_peer(&lower, &call.peer), errno }
}

fn names_path(text: &str, path: &str) -> bool {
    if path.is_empty() {
        return false;
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    has_token(text, path) || (name.len() >= MIN_BASENAME_BYTES && has_token(text, name))
}

fn names_peer(text: &str, peer: &str) -> bool {
    if peer.is_empty() {
        return false;
    }
    if let Some(path) = peer.strip_prefix("unix:") {
        return names_path(text, path);
    }
    let peer = peer.to_lowercase();
    let Some((host, port)) = peer.rsplit_once(':') else { return has_token(text, &peer) };
    let host = host.trim_matches(['[', ']']);
    let is_local = matches!(host, "127.0.0.1" | "::1" | "0.0.0.0") && text.contains("localhost");
    let names_port = ["port ", "port=", "port: ", ":", "'), ", "', "]
        .iter()
        .any(|before| has_token(text, &format!("{before}{port}")));
    names_port || (is_local || has_token(text, host)) && !has_other_port(text, port)
}

/// The text has a port of its own, another one.
fn has_other_port(text: &str, port: &str) -> bool {
    address(text).and_then(|found| Some(found.rsplit_once(':')?.1 != port)).unwrap_or(false)
}

/// The needle stands in the text as a word of its own.
fn has_token(text: &str, needle: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(needle).any(|(at, _)| {
        let goes_back = needle.starts_with(goes_on) && text[..at].ends_with(|c: char| goes_on(c) || c == '.');
        let goes_ahead = needle.ends_with(goes_on) && text[at + needle.len()..].starts_with(goes_on);
        !goes_back && !goes_ahead
    })
}

/// The first address with a port that the text names: `127.0.0.1:5432`, `db:5432`, `at "127.0.0.1", port 5432`.
pub(crate) fn address(text: &str) -> Option<String> {
    let plain = text.split(|c: char| c.is_whitespace() || "'\"()<>,;".contains(c)).find_map(|word| {
        let word = word.trim_end_matches(['.', ':', ']', '}']);
        let word =
            word.rsplit_once("://").map_or(word, |(_, rest)| rest.split('/').next().unwrap_or_default());
        let word = word.rsplit_once('@').map_or(word, |(_, rest)| rest);
        let word = word.rsplit_once("->").map_or(word, |(_, rest)| rest);
        let (host, port) = word.rsplit_once(':')?;
        let is_port = (2..=5).contains(&port.len()) && port.parse::<u16>().is_ok();
        (is_port && is_host(host.trim_matches(['[', ']']))).then(|| word.to_owned())
    });
    plain.or_else(|| {
        let lower = text.to_lowercase();
        let port = ["port ", "port=", "port: "].iter().find_map(|before| {
            let rest = &lower[lower.find(before)? + before.len()..];
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            rest[..digits].parse::<u16>().ok()
        })?;
        let host = ["host=", "host: ", "address: ", "host ", "server on ", "server at ", " at "]
            .iter()
            .find_map(|before| {
                let rest = lower[lower.find(before)? + before.len()..].trim_start_matches(['\'', '"']);
                let end = rest.find(|c: char| !is_host_character(c)).unwrap_or(rest.len());
                Some(&rest[..end]).filter(|host| is_host(host))
            })?;
        Some(format!("{host}:{port}"))
    })
}

/// The host name that a text on name resolution is about.
pub(crate) fn host(text: &str) -> Option<String> {
    const BEFORE: &[&str] = &[
        "lookup ",
        "ENOTFOUND ",
        "EAI_AGAIN ",
        "host name \"",
        "Could not resolve host: ",
        "Could not resolve host '",
        "resolve host ",
        "resolve host: ",
        "UnknownHostException: ",
        "host not found in upstream \"",
        "bad address '",
        "unknown host: ",
        "unknown host ",
        "hostname ",
        "host='",
        "host=",
        "resolve \"",
        "resolve '",
        "resolve ",
        "host \"",
        "host '",
        "no such host: ",
        "for host ",
        "connect to ",
        "at ",
    ];
    let of = |rest: &str| {
        let rest = rest.trim_start_matches(['\'', '"', '(']);
        let end = rest.find(|c: char| !is_host_character(c)).unwrap_or(rest.len());
        let host = rest[..end].trim_end_matches(['.', '-']);
        (is_host(host) && !matches!(host, "address" | "host" | "hostname" | "name" | "to" | "the"))
            .then(|| host.to_owned())
    };
    let named = BEFORE.iter().find_map(|before| of(&text[text.find(before)? + before.len()..]));
    // `ping: nowhere.example: Name or service not known`.
    let before_text = || {
        let at = text.find(": Name or service").or_else(|| text.find(": Temporary failure in name"))?;
        let start = text[..at].rfind([' ', '\'', '"', '/']).map_or(0, |at| at + 1);
        of(text[start..at].trim_matches(['\'', '"']))
    };
    before_text().or(named)
}

fn is_host_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':')
}

fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= MAX_HOST_BYTES
        && host.chars().all(is_host_character)
        && host.chars().any(|c| c.is_ascii_alphabetic() || c == '.' || c == ':')
        && (!host.contains(':') || host.parse::<std::net::Ipv6Addr>().is_ok())
        && !host.contains(".go")
        && !host.contains(".rs")
        && !host.contains(".py")
}

/// The path that the text is about: an absolute one, else what stands in quotes.
pub(crate) fn path(text: &str) -> Option<String> {
    let bounded = |path: &str| (path.len() > 1 && path.len() <= MAX_NAME_BYTES).then(|| path.to_owned());
    let absolute = text.match_indices('/').find_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let begins = before.is_none_or(|c| c.is_whitespace() || "'\"`([=<“‘:".contains(c));
        let quoted = before.filter(|c| "'\"`".contains(*c));
        let rest = &text[at..];
        let end = rest.find(|c: char| match quoted {
            Some(quote) => c == quote || c == '\n',
            None => c.is_whitespace() || "'\"`)]>,;”’".contains(c),
        });
        let path = rest[..end.unwrap_or(rest.len())].trim_end_matches(['.', ':']);
        // `http://…` and `n/a` are none.
        if begins && !path.starts_with("//") && path.len() > 1 { bounded(without_line(path)) } else { None }
    });
    absolute.or_else(|| {
        let (open, quote) = text.char_indices().find(|(_, c)| "'\"`".contains(*c))?;
        let close = if quote == '`' { '\'' } else { quote };
        let rest = &text[open + 1..];
        let end = rest.find([close, quote])?;
        // `'EACCES'` is no file.
        bounded(&rest[..end]).filter(|name| !name.contains(' ') && !is_errno(name))
    })
}

/// Only capitals and digits: the name of an errno or a variable.
fn is_errno(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// `/etc/x.conf:12` without its line.
fn without_line(path: &str) -> &str {
    let mut path = path;
    while let Some((rest, line)) = path.rsplit_once(':') {
        if line.is_empty() || !line.bytes().all(|b| b.is_ascii_digit()) {
            // `/x: error`, `/a:/b`.
            return if rest.contains(':') { path } else { rest };
        }
        path = rest;
    }
    path
}

/// `file:12` or `file line 12` in a text about a configuration.
pub(crate) fn file_line(text: &str) -> Option<String> {
    let file = path(text);
    let with_colon = file.as_ref().and_then(|file| {
        let rest = text[text.find(file.as_str())? + file.len()..].strip_prefix(':')?;
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        (digits > 0).then(|| format!("{file}:{}", &rest[..digits]))
    });
    with_colon.or_else(|| {
        let lower = text.to_lowercase();
        let rest = &lower[lower.find("line ")? + 5..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let line = Some(&rest[..digits]).filter(|line| !line.is_empty())?;
        Some(file.map_or_else(|| format!("line {line}"), |file| format!("{file}:{line}")))
    })
}

/// The C library's text for an errno, lower case.
pub(crate) fn strerror(errno: &str) -> Option<&'static str> {
    Some(match errno {
        "EPERM" => "operation not permitted",
        "ENOENT" => "no such file or directory",
        "EIO" => "input/output error",
        "ENOEXEC" => "exec format error",
        "EAGAIN" => "resource temporarily unavailable",
        "ENOMEM" => "cannot allocate memory",
        "EACCES" => "permission denied",
        "EEXIST" => "file exists",
        "ENODEV" => "no such device",
        "ENOTDIR" => "not a directory",
        "EISDIR" => "is a directory",
        "EINVAL" => "invalid argument",
        "ENFILE" => "too many open files in system",
        "EMFILE" => "too many open files",
        "ETXTBSY" => "text file busy",
        "EFBIG" => "file too large",
        "ENOSPC" => "no space left on device",
        "EROFS" => "read-only file system",
        "EPIPE" => "broken pipe",
        "ENAMETOOLONG" => "file name too long",
        "ELOOP" => "too many levels of symbolic links",
        "EADDRINUSE" => "address already in use",
        "EADDRNOTAVAIL" => "cannot assign requested address",
        "ENETUNREACH" => "network is unreachable",
        "ECONNABORTED" => "software caused connection abort",
        "ECONNRESET" => "connection reset by peer",
        "ETIMEDOUT" => "connection timed out",
        "ECONNREFUSED" => "connection refused",
        "EHOSTDOWN" => "host is down",
        "EHOSTUNREACH" => "no route to host",
        "EDQUOT" => "disk quota exceeded",
        "EUCLEAN" => "structure needs cleaning",
        "EBUSY" => "device or resource busy",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hosts_and_paths_are_found_in_texts() {
        for (text, found) in [
            ("dial tcp 127.0.0.1:5432: connect: connection refused", "127.0.0.1:5432"),
            ("connection to server at \"127.0.0.1\", port 5432 failed", "127.0.0.1:5432"),
            ("redis://user:x@cache.local:6379/0 is away", "cache.local:6379"),
            ("dial tcp [::1]:80: connect", "[::1]:80"),
            ("HTTPConnectionPool(host='api.local', port=8080): Max retries", "api.local:8080"),
        ] {
            assert_eq!(address(text).as_deref(), Some(found), "{text}");
        }
        for text in ["at 10:15:30 it failed", "main.rs:12:5", "x"] {
            assert_eq!(address(text), None, "{text}");
        }
        for (text, found) in [
            ("dial tcp: lookup db.internal on 10.0.0.2:53: no such host", "db.internal"),
            ("getaddrinfo ENOTFOUND nowhere.example", "nowhere.example"),
            ("ping: nowhere.example: Name or service not known", "nowhere.example"),
            ("could not translate host name \"pg\" to address: x", "pg"),
            ("java.net.UnknownHostException: kafka-1: Temporary failure in name resolution", "kafka-1"),
        ] {
            assert_eq!(host(text).as_deref(), Some(found), "{text}");
        }
        for (text, found) in [
            ("[Errno 2] No such file or directory: '/etc/a b.conf'", "/etc/a b.conf"),
            ("open /etc/x.conf: no such file or directory", "/etc/x.conf"),
            ("unknown directive in /etc/nginx/nginx.conf:12", "/etc/nginx/nginx.conf"),
            ("cannot open 'data.bin'", "data.bin"),
        ] {
            assert_eq!(path(text).as_deref(), Some(found), "{text}");
        }
        assert_eq!(file_line("in /etc/n.conf:12").as_deref(), Some("/etc/n.conf:12"));
        assert_eq!(file_line("yaml: line 3: x").as_deref(), Some("line 3"));
    }

    #[test]
    fn a_text_speaks_of_a_call_by_path_port_or_errno() {
        let call = |errno: &str, path: &str, peer: &str| FailedCall {
            errno: errno.into(),
            path: path.into(),
            peer: peer.into(),
            ..FailedCall::default()
        };
        let refused = call("ECONNREFUSED", "", "127.0.0.1:5432");
        assert_eq!(mention("no database on port 5432", &refused), Mention { target: true, errno: false });
        assert_eq!(mention("localhost: connection refused", &refused), Mention { target: true, errno: true });
        assert!(!mention("localhost:6379 connection refused", &refused).target);
        assert!(!mention("15432 rows", &refused).target);
        assert!(mention("cannot read key.pem", &call("EACCES", "/etc/ssl/key.pem", "")).target);
        assert!(!mention("cannot read monkey.pem", &call("EACCES", "/etc/ssl/key.pem", "")).target);
    }
}
