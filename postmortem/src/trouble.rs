//! Kinds of trouble that a failed call or a line of text tells of, whatever the run time and language.

mod texts;

use agent_common::wire::postmortem::CauseClass;

use self::texts::WORDS;
use crate::facts::FailedCall;

/// What went wrong, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trouble {
    Refused,
    Resolve,
    Timeout,
    Unreachable,
    Reset,
    Permission,
    Credentials,
    ReadOnly,
    NotFound,
    NoCommand,
    NoInterpreter,
    ExecFormat,
    ExecPermission,
    InUse,
    NoAddress,
    DiskFull,
    Quota,
    Descriptors,
    Watches,
    Tasks,
    FileTooLarge,
    NoMemory,
    Library,
    Symbol,
    Module,
    Io,
    Config,
    Arguments,
    Certificate,
    Deadlock,
    Assertion,
    Heap,
    Smashed,
    StackOverflow,
    NullPointer,
    BadPointer,
    ParentDied,
}

impl Trouble {
    /// The class of a cause of this kind.
    pub(crate) const fn class(self) -> CauseClass {
        use CauseClass as C;
        match self {
            Self::Refused => C::ConnectionRefused,
            Self::Resolve => C::NameResolution,
            Self::Timeout | Self::Unreachable => C::Timeout,
            Self::Reset => C::BrokenPipe,
            Self::Permission | Self::Credentials | Self::ReadOnly => C::Permission,
            Self::NotFound | Self::NoCommand | Self::NoInterpreter => C::NotFound,
            Self::ExecFormat => C::ExecFormat,
            Self::ExecPermission => C::ExecPermission,
            Self::InUse => C::AddressInUse,
            Self::DiskFull | Self::Quota => C::DiskFull,
            Self::Descriptors | Self::Watches | Self::Tasks => C::FdLimit,
            Self::FileTooLarge => C::FileSizeLimit,
            Self::NoMemory => C::HeapLimit,
            Self::Library | Self::Symbol | Self::Module => C::MissingLibrary,
            Self::Io => C::HardwareError,
            Self::NoAddress | Self::Config | Self::Arguments | Self::Certificate => C::ConfigError,
            Self::Deadlock => C::Deadlock,
            Self::Assertion => C::Assertion,
            Self::Heap => C::HeapCorruption,
            Self::Smashed => C::Abort,
            Self::StackOverflow => C::StackOverflow,
            Self::NullPointer => C::NullPointer,
            Self::BadPointer => C::BadPointer,
            Self::ParentDied => C::ParentDied,
        }
    }

    /// A system call that fails is part of it, so that its absence speaks against the text.
    pub(crate) const fn shows_in_calls(self) -> bool {
        matches!(
            self,
            Self::Refused
                | Self::Unreachable
                | Self::Permission
                | Self::ReadOnly
                | Self::NotFound
                | Self::InUse
                | Self::DiskFull
                | Self::Quota
                | Self::Descriptors
                | Self::FileTooLarge
                | Self::Io
        )
    }

    /// What the errno of a call means; `None`: nothing that ends a program.
    pub(crate) fn of_call(call: &FailedCall) -> Option<Self> {
        let name = call.call.as_str();
        let connects = matches!(name, "connect" | "sendto" | "sendmsg" | "sendmmsg" | "recvfrom" | "recvmsg");
        let executes = name.starts_with("execve");
        let forks = matches!(name, "clone" | "clone3" | "fork" | "vfork");
        Some(match call.errno.as_str() {
            _ if connects && is_name_server(&call.peer) => match call.errno.as_str() {
                "ECONNREFUSED" | "ETIMEDOUT" | "EHOSTUNREACH" | "ENETUNREACH" | "EPERM" | "EACCES" => {
                    Self::Resolve
                }
                _ => return None,
            },
            // The C library asks nscd before it looks itself.
            _ if connects && call.peer.contains("/nscd/") => return None,
            "ECONNREFUSED" => Self::Refused,
            "ENOENT" if name == "connect" => Self::Refused,
            "ETIMEDOUT" if name == "futex" => return None,
            "ETIMEDOUT" | "ETIME" => Self::Timeout,
            "EHOSTUNREACH" | "ENETUNREACH" | "EHOSTDOWN" | "ENETDOWN" => Self::Unreachable,
            "EPIPE" | "ECONNRESET" | "ECONNABORTED" => Self::Reset,
            "EADDRINUSE" => Self::InUse,
            "EADDRNOTAVAIL" if name == "bind" => Self::NoAddress,
            "EADDRNOTAVAIL" if name == "connect" => Self::Unreachable,
            "ENOENT" | "ENOTDIR" if executes && call.path_exists == Some(true) => Self::NoInterpreter,
            "ENOENT" | "ENOTDIR" if executes => Self::NoCommand,
            "EACCES" | "EPERM" if executes => Self::ExecPermission,
            "ENOEXEC" | "ELIBBAD" => Self::ExecFormat,
            "EINVAL" if executes => Self::ExecFormat,
            "ENOENT" if is_library(&call.path) => Self::Library,
            "ENOENT" | "ENOTDIR" => Self::NotFound,
            "EACCES" | "EPERM" => Self::Permission,
            "EROFS" => Self::ReadOnly,
            "ENOSPC" | "EMFILE" if name.starts_with("inotify") => Self::Watches,
            "ENOSPC" => Self::DiskFull,
            "EDQUOT" => Self::Quota,
            "EMFILE" | "ENFILE" => Self::Descriptors,
            "EAGAIN" if forks => Self::Tasks,
            "ENOMEM" => Self::NoMemory,
            "EFBIG" => Self::FileTooLarge,
            "EIO" | "EUCLEAN" | "EBADMSG" | "EHWPOISON" => Self::Io,
            _ => return None,
        })
    }

    /// What a text tells of; the most telling words win.
    pub(crate) fn of_text(original: &str) -> Option<Self> {
        let text = original.to_lowercase();
        let of_words = WORDS.iter().find(|(words, _)| has_word(&text, words)).map(|(_, trouble)| *trouble);
        let about_threads = ["fork", "thread", "clone", "spawn"].iter().any(|word| text.contains(word));
        match of_words {
            Some(Self::DiskFull) if text.contains("inotify") || text.contains("watch") => Some(Self::Watches),
            Some(Self::NotFound) if text.contains("cannot open shared object") => Some(Self::Library),
            // A line about a configuration file that lacks is about the file.
            Some(found) => Some(found),
            None if about_threads && text.contains("resource temporarily unavailable") => Some(Self::Tasks),
            None => Self::of_number(&text)
                .or_else(|| (is_config(&text) || lacks_variable(original, &text)).then_some(Self::Config))
                .or_else(|| text.contains("timeout").then_some(Self::Timeout)),
        }
    }

    /// What an errno's number in a text means: `[Errno 13]`, `os error 13`, `(111)` after a word of failure.
    fn of_number(text: &str) -> Option<Self> {
        const BEFORE: [&str; 8] = [
            "[errno ",
            "os error ",
            "errno: -",
            "errno: ",
            "errno=",
            "errno ",
            "os { code: ",
            "socketexception (",
        ];
        let number = |rest: &str| {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            rest[..digits].parse::<u16>().ok()
        };
        let mut found = BEFORE.iter().filter_map(|before| number(&text[text.find(before)? + before.len()..]));
        let in_brackets = || {
            let fails = ["connect", "open", "bind", "fail", "cannot", "can't"];
            let at = text.rfind('(').filter(|_| fails.iter().any(|word| text.contains(word)))?;
            number(&text[at + 1..])
        };
        let number = found.next().or_else(in_brackets)?;
        Some(match number {
            1 | 13 => Self::Permission,
            2 => Self::NotFound,
            5 => Self::Io,
            8 => Self::ExecFormat,
            12 => Self::NoMemory,
            23 | 24 => Self::Descriptors,
            27 => Self::FileTooLarge,
            28 => Self::DiskFull,
            30 => Self::ReadOnly,
            32 | 103 | 104 => Self::Reset,
            98 => Self::InUse,
            99 => Self::NoAddress,
            101 | 113 => Self::Unreachable,
            110 => Self::Timeout,
            111 => Self::Refused,
            122 => Self::Quota,
            _ => return None,
        })
    }
}

/// A name server's address.
fn is_name_server(peer: &str) -> bool {
    peer.ends_with(":53") || peer.ends_with(":853") || peer.contains("systemd/resolve")
}

/// The name of a shared library.
pub(crate) fn is_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').is_some_and(|(_, extension)| extension == "so") || name.contains(".so.")
}

/// The needle stands in the text; at its ends, letters of the needle do not go on as letters in the text (`eio` is not in `deion`).
fn has_word(text: &str, needle: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric();
    let (starts, ends) = (needle.starts_with(is_letter), needle.ends_with(is_letter));
    // Names of exceptions are parts of longer names (`ConnectionRefusedError`); those of errnos are words: `eio`, `enotfound`, which
    // stands in `FileNotFound` as well.
    let whole = needle.starts_with('e') && needle.chars().all(is_letter);
    text.match_indices(needle).any(|(at, _)| {
        let goes_back = starts && text[..at].ends_with(is_letter);
        let goes_ahead = ends && text[at + needle.len()..].starts_with(is_letter);
        !whole || !goes_back && !goes_ahead
    })
}

/// A text, lower case, complains about a configuration: it names one, or a file of one, and says that it is wrong.
fn is_config(text: &str) -> bool {
    const ABOUT: &[&str] = &[
        "config",
        "setting",
        "environment variable",
        "env var",
        ".conf",
        ".cfg",
        ".ini",
        ".yaml",
        ".yml",
        ".toml",
        ".json",
        ".env",
        "max_",
        "limit",
        "directive",
        "option",
        "parameter",
        "argument",
        "yaml:",
        "toml",
        "--",
        "locale",
    ];
    const WRONG: &[&str] = &[
        "invalid",
        "unknown",
        "unexpected",
        "missing",
        "required",
        "not set",
        "unset",
        "must be",
        "unrecognized",
        "unrecognised",
        "parse",
        "parsing",
        "syntax",
        "malformed",
        "not allowed",
        "not supported",
        "unsupported",
        "duplicate",
        "expected",
        "bad ",
        "illegal",
        "not valid",
        "undefined",
        "too low",
        "too high",
        "too small",
        "deprecated and removed",
        "not defined",
    ];
    ABOUT.iter().any(|word| text.contains(word)) && WRONG.iter().any(|word| text.contains(word))
}

/// A text says of an environment variable, `DATABASE_URL`, that it lacks.
fn lacks_variable(original: &str, text: &str) -> bool {
    let lacks = ["not set", "must be set", "is unset", "missing", "required", "not defined", "is empty"];
    let is_variable = |word: &str| {
        word.contains('_')
            && word.len() > 4
            && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    lacks.iter().any(|words| text.contains(words))
        && original.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).any(is_variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_many_run_times_tell_the_same() {
        for (text, trouble) in [
            ("dial tcp 127.0.0.1:5432: connect: connection refused", Trouble::Refused),
            ("java.net.ConnectException: Connection refused (Connection refused)", Trouble::Refused),
            ("Error: connect ECONNREFUSED 127.0.0.1:6379", Trouble::Refused),
            ("[Errno 111] boom", Trouble::Refused),
            ("Can't connect to MySQL server on 'db' (111)", Trouble::Refused),
            ("System.Net.Sockets.SocketException (111): x", Trouble::Refused),
            ("lookup db on 10.0.0.2:53: no such host", Trouble::Resolve),
            ("curl: (6) Could not resolve host: nowhere.example", Trouble::Resolve),
            ("java.io.FileNotFoundException: /x (Permission denied)", Trouble::Permission),
            ("java.nio.file.NoSuchFileException: /x", Trouble::NotFound),
            ("bind() to 0.0.0.0:80 failed (98: Address already in use)", Trouble::InUse),
            ("write /x: no space left on device", Trouble::DiskFull),
            ("inotify_add_watch: No space left on device", Trouble::Watches),
            ("fork: Resource temporarily unavailable", Trouble::Tasks),
            ("Os { code: 13, kind: Other }", Trouble::Permission),
            ("libx.so.1: cannot open shared object file: No such file or directory", Trouble::Library),
            ("/lib/libc.so.6: version `GLIBC_2.38' not found (required by ./a)", Trouble::Symbol),
            ("unknown directive \"foo\" in /etc/nginx/nginx.conf:12", Trouble::Config),
            ("yaml: line 3: mapping values are not allowed", Trouble::Config),
        ] {
            assert_eq!(Trouble::of_text(text), Some(trouble), "{text}");
        }
        for text in
            ["all went well", "deionised water", "listening on port 8080", "error: 3 items differ", ""]
        {
            assert_eq!(Trouble::of_text(text), None, "{text}");
        }
    }
}
