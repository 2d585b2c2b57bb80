//! Words that are parameters wherever they stand: units, months, values, texts of errno.

/// Texts of errno in lower case, as libc, Go and Java print them. After a colon they are one parameter.
const ERRNO_TEXTS: [&str; 52] = [
    "address already in use",
    "address family not supported by protocol",
    "argument list too long",
    "bad address",
    "bad file descriptor",
    "broken pipe",
    "cannot allocate memory",
    "cannot assign requested address",
    "connection aborted",
    "connection refused",
    "connection reset by peer",
    "connection reset",
    "connection timed out",
    "context deadline exceeded",
    "device or resource busy",
    "directory not empty",
    "disk quota exceeded",
    "exec format error",
    "file exists",
    "file name too long",
    "file too large",
    "host is down",
    "i/o timeout",
    "illegal seek",
    "input/output error",
    "interrupted system call",
    "invalid argument",
    "invalid cross-device link",
    "is a directory",
    "name or service not known",
    "network is unreachable",
    "no buffer space available",
    "no child processes",
    "no route to host",
    "no space left on device",
    "no such device",
    "no such file or directory",
    "no such host",
    "no such process",
    "not a directory",
    "operation not permitted",
    "operation not supported",
    "operation now in progress",
    "operation timed out",
    "permission denied",
    "read-only file system",
    "resource temporarily unavailable",
    "stale file handle",
    "temporary failure in name resolution",
    "text file busy",
    "too many open files",
    "transport endpoint is not connected",
];

/// Length of the text of errno that `bytes` begin with.
pub(super) fn errno_len(bytes: &[u8]) -> Option<usize> {
    let head = [bytes.first()?.to_ascii_lowercase(), bytes.get(1)?.to_ascii_lowercase()];
    ERRNO_TEXTS
        .iter()
        .filter(|text| text.as_bytes().starts_with(&head))
        .find(|text| {
            bytes.get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text.as_bytes()))
                && !bytes.get(text.len()).is_some_and(u8::is_ascii_alphanumeric)
        })
        .map(|text| text.len())
}

/// A word of up to 8 bytes as a number: many words are compared fast.
const fn pack(word: &[u8]) -> u64 {
    let mut packed = 0;
    let mut at = 0;
    while at < word.len() && at < 8 {
        packed |= (word[at] as u64) << (8 * at);
        at += 1;
    }
    packed
}

const fn pack_all<const N: usize>(words: [&str; N]) -> [u64; N] {
    let mut packed = [0; N];
    let mut at = 0;
    while at < N {
        packed[at] = pack(words[at].as_bytes());
        at += 1;
    }
    packed
}

static UNITS: [u64; 58] = pack_all([
    "ns", "us", "ms", "s", "m", "h", "d", "sec", "secs", "second", "seconds", "msec", "msecs", "usec", "min",
    "mins", "minute", "minutes", "hour", "hours", "day", "days", "b", "B", "byte", "bytes", "Bytes", "k",
    "kB", "KB", "MB", "GB", "TB", "K", "M", "G", "T", "KiB", "MiB", "GiB", "TiB", "kb", "mb", "gb", "kbps",
    "Mbps", "Gbps", "Hz", "kHz", "MHz", "GHz", "percent", "AM", "PM", "UTC", "GMT", "CET", "CEST",
]);

/// Whether the word is a unit: it belongs to the number before it.
pub(super) fn is_unit(word: &[u8]) -> bool {
    let word = word.strip_suffix(b"/s").unwrap_or(word);
    match word.len() {
        1..=8 => UNITS.contains(&pack(word)) || word == "µs".as_bytes(),
        _ => matches!(word, b"millisecond" | b"milliseconds" | b"microsecond" | b"microseconds"),
    }
}

static CAPITAL_VALUES: [u64; 38] = pack_all([
    "NaN", "N/A", "GET", "PUT", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr",
    "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "True", "TRUE", "NULL", "None", "POST", "HEAD",
    "False", "FALSE", "PATCH", "TRACE", "DELETE", "OPTIONS", "CONNECT", "Null", "Nil",
]);

static VALUES: [u64; 5] = pack_all(["nil", "true", "null", "false", "unknown"]);

/// Whether the word is a value in any program: truth values, nothing, HTTP's methods, days and months.
pub(super) fn is_value(word: &[u8], has_capitals: bool) -> bool {
    match word.len() {
        3..=8 if has_capitals => CAPITAL_VALUES.contains(&pack(word)),
        3..=8 => VALUES.contains(&pack(word)),
        9 => matches!(word, b"undefined" | b"localhost"),
        _ => false,
    }
}

/// Whether the word names how grave a line is. Such a word is never a parameter.
pub(super) fn is_level(word: &[u8]) -> bool {
    let word = word.strip_prefix(b"[").unwrap_or(word);
    let mut lower = [0_u8; 9];
    let letters = word.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let Some(lower) = lower.get_mut(..letters) else { return false };
    lower.copy_from_slice(&word[..letters]);
    lower.make_ascii_lowercase();
    matches!(
        &*lower,
        b"emerg"
            | b"emergency"
            | b"alert"
            | b"crit"
            | b"critical"
            | b"fatal"
            | b"panic"
            | b"severe"
            | b"err"
            | b"error"
            | b"warn"
            | b"warning"
            | b"notice"
            | b"info"
            | b"log"
            | b"debug"
            | b"trace"
            | b"verbose"
            | b"detail"
            | b"hint"
            | b"statement"
            | b"context"
    )
}

/// Whether an SQL statement begins here: all that follows is its text.
pub(super) fn is_sql(word: &[u8]) -> bool {
    const VERBS: [&[u8]; 17] = [
        b"select",
        b"insert",
        b"update",
        b"delete",
        b"with",
        b"begin",
        b"commit",
        b"rollback",
        b"create",
        b"alter",
        b"drop",
        b"truncate",
        b"copy",
        b"vacuum",
        b"analyze",
        b"explain",
        b"replace",
    ];
    VERBS.iter().any(|verb| word.eq_ignore_ascii_case(verb))
}

/// Whether a key's value is what the line says, rather than a parameter.
pub(super) fn is_message_key(key: &[u8]) -> bool {
    matches!(key, b"msg" | b"message" | b"event" | b"evt" | b"log" | b"text")
}
