//! Kinds of trouble that a failed call or a line of text tells of, whatever the run time and language.

use agent_common::wire::postmortem::CauseClass;

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
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let of_words = WORDS.iter().find(|(words, _)| has_word(&text, words)).map(|(_, trouble)| *trouble);
        let about_threads = ["fork", "thread", "clone", "spawn"].iter().any(|word| text.contains(word));
        match of_words {
            Some(Self::DiskFull) if text.contains("inotify") || text.contains("watch") => Some(Self::Watches),
            Some(Self::NotFound) if text.contains("cannot open shared object") => Some(Self::Library),
            // A line about a configuration file that lacks is about the file.
            Some(found) => Some(found),
            None if about_threads && text.contains("resource temporarily unavailable") => Some(Self::Tasks),
            None => Self::of_number(&text).or_else(|| is_config(&text).then_some(Self::Config)),
        }
    }

    /// What an errno's number in a text means: `[Errno 13]`, `os error 13`, `(111)` after a word of failure.
    fn of_number(text: &str) -> Option<Self> {
        const BEFORE: [&str; 8] =
            ["[errno ", "os error ", "errno: -", "errno: ", "errno=", "errno ", "os { code: ", "socketexception ("];
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
    name.ends_with(".so") || name.contains(".so.")
}

/// The needle stands in the text; at its ends, letters of the needle do not go on as letters in the text (`eio` is not in `deion`).
fn has_word(text: &str, needle: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric();
    let (starts, ends) = (needle.starts_with(is_letter), needle.ends_with(is_letter));
    // Names of errors are parts of longer names: `java.net.ConnectException`, `ConnectionRefusedError`.
    let whole = needle.len() <= WHOLE_WORD_BYTES && !needle.contains(' ');
    text.match_indices(needle).any(|(at, _)| {
        !whole
            || (!(starts && text[..at].ends_with(is_letter))
                && !(ends && text[at + needle.len()..].starts_with(is_letter)))
    })
}

/// Needles up to this length are whole words: `eio`, `efbig`, `enospc`.
const WHOLE_WORD_BYTES: usize = 7;

/// Words, lower case; the first that stands in a text decides. Texts of strerror, of getaddrinfo, names of exceptions, messages of
/// the dynamic loader and of run times.
const WORDS: &[(&str, Trouble)] = {
    use Trouble as T;
    &[
        ("heap-use-after-free", T::Heap),
        ("heap-buffer-overflow", T::Heap),
        ("double-free", T::Heap),
        ("attempting double", T::Heap),
        ("attempting free on address which was not", T::Heap),
        ("double free", T::Heap),
        ("free(): invalid", T::Heap),
        ("malloc(): ", T::Heap),
        ("munmap_chunk()", T::Heap),
        ("realloc(): invalid", T::Heap),
        ("malloc_consolidate()", T::Heap),
        ("corrupted size vs", T::Heap),
        ("corrupted double-linked", T::Heap),
        ("corrupted unsorted", T::Heap),
        ("heap corruption", T::Heap),
        ("corrupted top size", T::Heap),
        ("chunk is corrupt", T::Heap),
        ("stack smashing detected", T::Smashed),
        ("buffer overflow detected", T::Smashed),
        ("stack-buffer-overflow", T::Smashed),
        ("global-buffer-overflow", T::Smashed),
        ("addresssanitizer: stack-overflow", T::StackOverflow),
        ("overflowed its stack", T::StackOverflow),
        ("stack overflow", T::StackOverflow),
        ("stackoverflowerror", T::StackOverflow),
        ("goroutine stack exceeds", T::StackOverflow),
        ("maximum call stack size exceeded", T::StackOverflow),
        ("maximum recursion depth exceeded", T::StackOverflow),
        ("addresssanitizer: segv on unknown address 0x000000000", T::NullPointer),
        ("addresssanitizer: segv", T::BadPointer),
        ("a fatal error has been detected by the java runtime", T::BadPointer),
        ("all goroutines are asleep", T::Deadlock),
        ("java-level deadlock", T::Deadlock),
        ("resource deadlock avoided", T::Deadlock),
        ("error while loading shared libraries", T::Library),
        ("cannot open shared object file", T::Library),
        ("error loading shared library", T::Library),
        ("unsatisfiedlinkerror", T::Library),
        ("library not loaded", T::Library),
        ("wrong elf class", T::Library),
        ("symbol lookup error", T::Symbol),
        ("undefined symbol", T::Symbol),
        ("symbol not found", T::Symbol),
        ("no version information available", T::Symbol),
        ("' not found (required by", T::Symbol),
        ("nosuchmethoderror", T::Symbol),
        ("nosuchfielderror", T::Symbol),
        ("incompatibleclasschangeerror", T::Symbol),
        ("modulenotfounderror", T::Module),
        ("no module named", T::Module),
        ("importerror", T::Module),
        ("cannot import name", T::Module),
        ("cannot find module", T::Module),
        ("cannot find package", T::Module),
        ("module_not_found", T::Module),
        ("cannot load such file", T::Module),
        ("in @inc", T::Module),
        ("classnotfoundexception", T::Module),
        ("noclassdeffounderror", T::Module),
        ("could not find or load main class", T::Module),
        ("could not load file or assembly", T::Module),
        ("failed opening required", T::Module),
        ("not found in directory /lib/modules", T::Module),
        ("not found in directory /usr/lib/modules", T::Module),
        ("exec format error", T::ExecFormat),
        ("cannot execute binary file", T::ExecFormat),
        ("unsupportedclassversionerror", T::ExecFormat),
        ("enoexec", T::ExecFormat),
        ("bad interpreter", T::NoInterpreter),
        ("required file not found", T::NoInterpreter),
        ("command not found", T::NoCommand),
        ("executable file not found", T::NoCommand),
        ("max_user_watches", T::Watches),
        ("max_user_instances", T::Watches),
        ("inotify watch", T::Watches),
        ("inotify instance", T::Watches),
        ("too many open files", T::Descriptors),
        ("file table overflow", T::Descriptors),
        ("emfile", T::Descriptors),
        ("enfile", T::Descriptors),
        ("unable to create native thread", T::Tasks),
        ("unable to create new native thread", T::Tasks),
        ("can't start new thread", T::Tasks),
        ("failed to create new os thread", T::Tasks),
        ("failed to spawn thread", T::Tasks),
        ("pthread_create failed", T::Tasks),
        ("can't create thread", T::Tasks),
        ("cannot fork", T::Tasks),
        ("can't fork", T::Tasks),
        ("fork: retry", T::Tasks),
        ("name or service not known", T::Resolve),
        ("name resolution", T::Resolve),
        ("could not resolve host", T::Resolve),
        ("could not resolve \"", T::Resolve),
        ("no address associated with hostname", T::Resolve),
        ("nodename nor servname", T::Resolve),
        ("unknownhostexception", T::Resolve),
        ("unresolvedaddressexception", T::Resolve),
        ("could not translate host name", T::Resolve),
        ("enotfound", T::Resolve),
        ("eai_again", T::Resolve),
        ("gaierror", T::Resolve),
        ("nameresolutionerror", T::Resolve),
        ("no such host", T::Resolve),
        ("server misbehaving", T::Resolve),
        ("host not found", T::Resolve),
        ("unknown host", T::Resolve),
        ("failed to lookup address", T::Resolve),
        ("unable to resolve host", T::Resolve),
        ("failed to resolve", T::Resolve),
        ("cannot resolve host", T::Resolve),
        ("can't resolve host", T::Resolve),
        ("could not be resolved", T::Resolve),
        ("name does not resolve", T::Resolve),
        ("bad address '", T::Resolve),
        ("nxdomain", T::Resolve),
        ("servfail", T::Resolve),
        ("dial tcp: lookup ", T::Resolve),
        ("address already in use", T::InUse),
        ("eaddrinuse", T::InUse),
        ("port is already", T::InUse),
        ("address in use", T::InUse),
        ("addrinuse", T::InUse),
        ("only one usage of each socket address", T::InUse),
        ("cannot assign requested address", T::NoAddress),
        ("eaddrnotavail", T::NoAddress),
        ("connection refused", T::Refused),
        ("econnrefused", T::Refused),
        ("connectionrefused", T::Refused),
        ("nobrokersavailable", T::Refused),
        ("no brokers available", T::Refused),
        ("is the server running", T::Refused),
        ("is the docker daemon running", T::Refused),
        ("could not connect to redis at", T::Refused),
        ("no route to host", T::Unreachable),
        ("network is unreachable", T::Unreachable),
        ("host is unreachable", T::Unreachable),
        ("host is down", T::Unreachable),
        ("ehostunreach", T::Unreachable),
        ("enetunreach", T::Unreachable),
        ("noroutetohost", T::Unreachable),
        ("timed out", T::Timeout),
        ("i/o timeout", T::Timeout),
        ("etimedout", T::Timeout),
        ("esockettimedout", T::Timeout),
        ("timedout", T::Timeout),
        ("deadline exceeded", T::Timeout),
        ("deadlineexceeded", T::Timeout),
        ("timeouterror", T::Timeout),
        ("timeoutexception", T::Timeout),
        ("timeout exceeded", T::Timeout),
        ("timeout expired", T::Timeout),
        ("timeout was reached", T::Timeout),
        ("timeout waiting", T::Timeout),
        ("timeout while", T::Timeout),
        ("timeout after", T::Timeout),
        ("connect timeout", T::Timeout),
        ("read timeout", T::Timeout),
        ("connection timeout", T::Timeout),
        ("gave up waiting", T::Timeout),
        ("disk quota exceeded", T::Quota),
        ("edquot", T::Quota),
        ("no space left", T::DiskFull),
        ("enospc", T::DiskFull),
        ("storagefull", T::DiskFull),
        ("disk full", T::DiskFull),
        ("disk is full", T::DiskFull),
        ("not enough space", T::DiskFull),
        ("out of disk space", T::DiskFull),
        ("not enough free space", T::DiskFull),
        ("read-only file system", T::ReadOnly),
        ("readonlyfilesystem", T::ReadOnly),
        ("readonly database", T::ReadOnly),
        ("erofs", T::ReadOnly),
        ("file too large", T::FileTooLarge),
        ("file size limit exceeded", T::FileTooLarge),
        ("efbig", T::FileTooLarge),
        ("javascript heap out of memory", T::NoMemory),
        ("outofmemory", T::NoMemory),
        ("cannot allocate memory", T::NoMemory),
        ("out of memory", T::NoMemory),
        ("memoryerror", T::NoMemory),
        ("bad_alloc", T::NoMemory),
        ("memory allocation of", T::NoMemory),
        ("allowed memory size", T::NoMemory),
        ("insufficient memory", T::NoMemory),
        ("not enough memory", T::NoMemory),
        ("memory exhausted", T::NoMemory),
        ("virtual memory exhausted", T::NoMemory),
        ("failed to allocate memory", T::NoMemory),
        ("enomem", T::NoMemory),
        ("certificate has expired", T::Certificate),
        ("certificate verify failed", T::Certificate),
        ("certificate is not yet valid", T::Certificate),
        ("cert_has_expired", T::Certificate),
        ("certificateexpired", T::Certificate),
        ("certificate expired", T::Certificate),
        ("x509: ", T::Certificate),
        ("password authentication failed", T::Credentials),
        ("authentication failed", T::Credentials),
        ("access denied for user", T::Credentials),
        ("invalid credentials", T::Credentials),
        ("permission denied", T::Permission),
        ("permissiondenied", T::Permission),
        ("permissionerror", T::Permission),
        ("accessdenied", T::Permission),
        ("access denied", T::Permission),
        ("access is denied", T::Permission),
        ("operation not permitted", T::Permission),
        ("insufficient privilege", T::Permission),
        ("must be run as root", T::Permission),
        ("must be root", T::Permission),
        ("apparmor=\"denied\"", T::Permission),
        ("avc:  denied", T::Permission),
        ("eacces", T::Permission),
        ("eperm", T::Permission),
        ("broken pipe", T::Reset),
        ("brokenpipe", T::Reset),
        ("epipe", T::Reset),
        ("connection reset", T::Reset),
        ("connectionreset", T::Reset),
        ("econnreset", T::Reset),
        ("connection aborted", T::Reset),
        ("econnaborted", T::Reset),
        ("server closed the connection", T::Reset),
        ("remote end closed connection", T::Reset),
        ("socket hang up", T::Reset),
        ("yamlexception", T::Config),
        ("unsupported locale", T::Config),
        ("unknown directive", T::Config),
        ("unrecognized arguments", T::Arguments),
        ("unrecognized option", T::Arguments),
        ("unknown option", T::Arguments),
        ("invalid option --", T::Arguments),
        ("unexpected argument", T::Arguments),
        ("unknown flag", T::Arguments),
        ("flag provided but not defined", T::Arguments),
        ("the following arguments are required", T::Arguments),
        ("required arguments were not provided", T::Arguments),
        ("no such file or directory", T::NotFound),
        ("filenotfound", T::NotFound),
        ("nosuchfile", T::NotFound),
        ("enoent", T::NotFound),
        ("kind: notfound", T::NotFound),
        ("no such file", T::NotFound),
        ("file not found", T::NotFound),
        ("file does not exist", T::NotFound),
        ("directory does not exist", T::NotFound),
        ("not a directory", T::NotFound),
        ("input/output error", T::Io),
        ("uncorrectable error", T::Io),
        ("medium error", T::Io),
        ("structure needs cleaning", T::Io),
        ("hardware error", T::Io),
        ("eio", T::Io),
        ("parent process died", T::ParentDied),
        ("parent died", T::ParentDied),
        ("parent process has died", T::ParentDied),
        ("lost its parent", T::ParentDied),
        ("assertionerror", T::Assertion),
        ("assertion failed", T::Assertion),
        ("assertion `", T::Assertion),
        ("assertion '", T::Assertion),
        ("assert failed", T::Assertion),
        ("check failed: ", T::Assertion),
    ]
};

/// A text, lower case, complains about a configuration: it names one, or a file of one, and says that it is wrong.
fn is_config(text: &str) -> bool {
    const ABOUT: &[&str] = &[
        "config", "setting", "environment variable", "env var", ".conf", ".cfg", ".ini", ".yaml", ".yml", ".toml",
        ".json", ".env", "directive", "option", "parameter", "argument", "yaml:", "toml", "--", "locale",
    ];
    const WRONG: &[&str] = &[
        "invalid", "unknown", "unexpected", "missing", "required", "not set", "unset", "must be", "unrecognized",
        "unrecognised", "parse", "parsing", "syntax", "malformed", "not allowed", "not supported", "unsupported",
        "duplicate", "expected", "bad value", "illegal", "not valid", "undefined", "deprecated and removed", "not defined",
    ];
    ABOUT.iter().any(|word| text.contains(word)) && WRONG.iter().any(|word| text.contains(word))
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
        for text in ["all went well", "deionised water", "listening on port 8080", "error: 3 items differ", ""] {
            assert_eq!(Trouble::of_text(text), None, "{text}");
        }
    }
}
