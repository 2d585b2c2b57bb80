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
    let first = bytes.first()?.to_ascii_lowercase();
    ERRNO_TEXTS
        .iter()
        .filter(|text| text.as_bytes()[0] == first)
        .find(|text| {
            bytes.get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text.as_bytes()))
                && !bytes.get(text.len()).is_some_and(u8::is_ascii_alphanumeric)
        })
        .map(|text| text.len())
}

/// Whether the word is a unit: it belongs to the number before it.
pub(super) fn is_unit(word: &[u8]) -> bool {
    let word = word.strip_suffix(b"/s").unwrap_or(word);
    matches!(
        word,
        b"ns"
            | b"us"
            | b"ms"
            | b"s"
            | b"m"
            | b"h"
            | b"d"
            | b"sec"
            | b"secs"
            | b"second"
            | b"seconds"
            | b"msec"
            | b"msecs"
            | b"usec"
            | b"millisecond"
            | b"milliseconds"
            | b"microseconds"
            | b"min"
            | b"mins"
            | b"minute"
            | b"minutes"
            | b"hour"
            | b"hours"
            | b"day"
            | b"days"
            | b"b"
            | b"B"
            | b"byte"
            | b"bytes"
            | b"Bytes"
            | b"k"
            | b"kB"
            | b"KB"
            | b"MB"
            | b"GB"
            | b"TB"
            | b"K"
            | b"M"
            | b"G"
            | b"T"
            | b"KiB"
            | b"MiB"
            | b"GiB"
            | b"TiB"
            | b"kb"
            | b"mb"
            | b"gb"
            | b"kbps"
            | b"Mbps"
            | b"Gbps"
            | b"Hz"
            | b"kHz"
            | b"MHz"
            | b"GHz"
            | b"percent"
            | b"AM"
            | b"PM"
            | b"UTC"
            | b"GMT"
            | b"CET"
            | b"CEST"
            | b"EST"
            | b"PST"
    ) || word == "µs".as_bytes()
}

/// Whether the word is a value in any program: truth values, nothing, HTTP's methods, days and months.
pub(super) fn is_value(word: &[u8]) -> bool {
    match word.len() {
        3 => matches!(
            word,
            b"nil"
                | b"NaN"
                | b"N/A"
                | b"GET"
                | b"PUT"
                | b"Mon"
                | b"Tue"
                | b"Wed"
                | b"Thu"
                | b"Fri"
                | b"Sat"
                | b"Sun"
                | b"Jan"
                | b"Feb"
                | b"Mar"
                | b"Apr"
                | b"May"
                | b"Jun"
                | b"Jul"
                | b"Aug"
                | b"Sep"
                | b"Oct"
                | b"Nov"
                | b"Dec"
        ),
        4 => matches!(word, b"true" | b"True" | b"TRUE" | b"null" | b"NULL" | b"None" | b"POST" | b"HEAD"),
        5 => matches!(word, b"false" | b"False" | b"FALSE" | b"PATCH" | b"TRACE"),
        6 => matches!(word, b"DELETE" | b"(null)" | b"(none)"),
        7 => matches!(word, b"OPTIONS" | b"CONNECT" | b"unknown"),
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
