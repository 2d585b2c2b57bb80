//! Takes secrets out of a text.
//!
//! What is found, in any case of letters:
//! - values of names that end in `password`, `passwd`, `passphrase`, `pwd`, `secret`, `token`, `api_key`, `access_key`,
//!   `private_key`, `credentials`, as `name=value`, `name: value`, `"name": "value"`, `--name value`
//! - `Authorization:`, `Proxy-Authorization:`, `Cookie:`, `Set-Cookie:` and what follows in the line; `Bearer …` and `Basic …` anywhere, unless a
//!   word of prose follows
//! - values of `pass=` and `pw=`; not of `pwd=` where it is a directory
//! - the password of `scheme://user:password@host`
//! - private keys in PEM, to their end or the text's; [`OpenKeys`] finds those that come line by line
//! - by their shape: keys of AWS (`AKIA…`), Google (`AIza…`), GitHub, GitLab, Slack, Stripe, npm; JSON web tokens
//!
//! What looks like none of these is not found; a line with a password as a bare word keeps it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands in a secret's place.
pub const REDACTED: &str = "[redacted]";
/// Writers of which a key may be open at a time, and lines of one: some keys have 100.
const MAX_OPEN_KEYS: usize = 256;
const MAX_KEY_LINES: u32 = 400;

/// How names of secrets end.
macro_rules! names {
    () => {
        r"passwords?|passwd|passphrase|pwd|secrets?|token|api[_-]?keys?|access[_-]?keys?|access[_-]?key[_-]?id|private[_-]?keys?|credentials?"
    };
}

/// Words that a text with a secret has. Most lines have none of them, and are done after one pass.
static HINT: LazyLock<Regex> = LazyLock::new(|| {
    compiled(concat!(
        r"(?i-u:pass|pwd|secret|token|api[_-]?key|access[_-]?key|private[_ -]?key|credential|authorization|cookie|bearer|basic |pw=)",
        r"|://|AKIA|ASIA|AIza|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|[sr]k_(?:live|test)_|npm_|eyJ",
    ))
});

/// Alternatives in one pass, so that a text is read once. The groups `k…` are kept, what else matches is replaced.
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    compiled(concat!(
        r"(?s)-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\z)",
        r"|(?P<kh>(?i-u:\b(?:proxy-)?authorization|\b(?:set-)?cookie)[\x22']?[ \t]*[:=][ \t]*)[^\r\n]+",
        r"|(?P<kb>(?i-u:\b(?:bearer|basic)) +)[A-Za-z0-9+/=._~-]{8,}",
        r"|(?P<kp>(?i-u:\b(?:pass|pw)=))[^\s,;&\x22']+",
        r"|(?P<ku>(?:[A-Za-z][A-Za-z0-9+.-]{0,30})?://[^\s/:@\x22']{0,256}:)(?:\[redacted\]|[^\s/\x22]{1,256})(?P<ka>@)",
        r"|(?P<kv>(?i-u:(?:",
        names!(),
        r")))",
        r"(?P<ks>\\?[\x22']?[ \t]*(?::=|=>|[:=])[ \t]*)",
        r"(?:\[redacted\]|\\\x22(?:[^\\]|\\[^\x22])*\\\x22|\x22(?:[^\x22\\]|\\.)*\x22?|'(?:[^'\\]|\\.)*'?|[^\s,;&\x22'\)\}\]]+)",
        r"|(?P<ko>--?(?i-u:[a-z0-9_-]{0,40}(?:passwords?|passwd|passphrase|pwd|secrets?|token|api[_-]?keys?|access[_-]?keys?|credentials?",
        r"|authorization)) +)",
        r"(?:\[redacted\]|\x22(?:[^\x22\\]|\\.)*\x22|'[^']*'|[^\s-][^\s]*)",
        // A word's bound is that of ASCII: with the other, the fast matcher gives up at each letter that is none.
        r"|(?-u:\b)(?:(?:AKIA|ASIA)[A-Z0-9]{9,}(?-u:\b)|AIza[A-Za-z0-9_-]{35}|gh[pousr]_[A-Za-z0-9]{9,}|github_pat_[A-Za-z0-9_]{9,}",
        r"|glpat-[A-Za-z0-9_-]{9,}|xox[abeoprs]-[A-Za-z0-9-]{9,}|[sr]k_(?:live|test)_[A-Za-z0-9]{9,}|npm_[A-Za-z0-9]{30,}",
        r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)",
    ))
});

/// A name by itself whose value is a secret.
static NAME: LazyLock<Regex> =
    LazyLock::new(|| compiled(concat!(r"(?i-u:", names!(), r"|authorization|cookie|\bpass|\bpw)$")));

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern that a test compiles")
}

/// The text without its secrets; each is [`REDACTED`] afterwards. Takes time linear in the text.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut end = 0;
    for secret in secrets(text) {
        out.push_str(&text[end..secret.start]);
        out.push_str(REDACTED);
        end = secret.end;
    }
    if end == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[end..]);
    Cow::Owned(out)
}

/// The value of a field without its secrets: all of it, if the name says so.
#[must_use]
pub fn redact_field<'v>(name: &str, value: &'v str) -> Cow<'v, str> {
    let is_directory = name.to_ascii_lowercase().ends_with("pwd") && value.starts_with('/');
    if !value.is_empty() && !is_directory && NAME.is_match(name) {
        return Cow::Borrowed(REDACTED);
    }
    redact(value)
}

/// Where the secrets of a text are, in bytes, in their order.
pub fn secrets(text: &str) -> impl Iterator<Item = Range<usize>> {
    HINT.is_match(text)
        .then(|| SECRET.captures_iter(text))
        .into_iter()
        .flatten()
        .filter_map(|found| secret(&found))
}

fn secret(found: &Captures<'_>) -> Option<Range<usize>> {
    let kept = |name| found.name(name).map_or("", |group| group.as_str());
    let before: usize = ["kh", "kb", "kp", "ku", "kv", "ko", "ks"].map(|name| kept(name).len()).iter().sum();
    let value = &found[0][before..];
    let is_prose = !kept("kb").is_empty()
        && !value.char_indices().any(|(at, c)| c.is_ascii_digit() || (at > 0 && c.is_ascii_uppercase()));
    let is_directory = kept("kv").eq_ignore_ascii_case("pwd") && value.starts_with('/');
    let whole = found.get_match();
    (!is_prose && !is_directory).then(|| whole.start() + before..whole.end() - kept("ka").len())
}

/// Private keys of which each line is a record of its own.
#[derive(Debug, Default)]
pub struct OpenKeys(BTreeMap<u64, u32>);

impl OpenKeys {
    /// Whether a text goes on with a key that this writer has begun, up to its last line.
    pub fn holds(&mut self, writer: u64, text: &str) -> bool {
        let begins =
            text.rsplit_once("-----BEGIN ").is_some_and(|(_, rest)| rest.contains("PRIVATE KEY-----"));
        if begins && !text.contains("-----END ") {
            if self.0.len() >= MAX_OPEN_KEYS {
                self.0.pop_first();
            }
            self.0.insert(writer, 0);
            return false;
        }
        let Some(lines) = self.0.get_mut(&writer) else { return false };
        *lines += 1;
        let is_end = text.contains("-----END ");
        let is_base64 =
            text.trim().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        let is_of_key = is_base64 || text.starts_with("Proc-Type: ") || text.starts_with("DEK-Info: ");
        if is_end || !is_of_key || *lines > MAX_KEY_LINES {
            self.0.remove(&writer);
        }
        is_end || is_of_key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_and_what_is_around_them_stays() {
        for (text, expected) in [
            ("password=hunter2 user=bob", "password=[redacted] user=bob"),
            ("DB_PASSWORD='a b' next", "DB_PASSWORD=[redacted] next"),
            ("Password: hunter2", "Password: [redacted]"),
            (r#"{"password": "a\"b", "user": "x"}"#, r#"{"password": [redacted], "user": "x"}"#),
            (r#"{\"api_key\":\"abc\",\"n\":1}"#, r#"{\"api_key\":[redacted],\"n\":1}"#),
            ("GET /x?token=abc&page=2 HTTP/1.1", "GET /x?token=[redacted]&page=2 HTTP/1.1"),
            ("curl --password hunter2 -v", "curl --password [redacted] -v"),
            ("mysql --db-password=hunter2", "mysql --db-password=[redacted]"),
            ("client_secret => 'abc'", "client_secret => [redacted]"),
            ("Authorization: Basic dXNlcjpwYXNz", "Authorization: [redacted]"),
            ("> authorization: Bearer abc\n> host: x", "> authorization: [redacted]\n> host: x"),
            ("sent Bearer abcdefgh12345 to x", "sent Bearer [redacted] to x"),
            ("Set-Cookie: id=1; Secure", "Set-Cookie: [redacted]"),
            (
                "connect postgres://bob:hunter2@db:5432/x failed",
                "connect postgres://bob:[redacted]@db:5432/x failed",
            ),
            ("redis://:hunter2@db/0", "redis://:[redacted]@db/0"),
            ("key AKIAIOSFODNN7EXAMPLE used", "key [redacted] used"),
            ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = [redacted]"),
            ("ghp_abcdefghijklmnopqrstuvwxyz0123456789 pushed", "[redacted] pushed"),
            ("xoxb-123456789012-abcdef", "[redacted]"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc_def end", "jwt [redacted] end"),
            (
                "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nb",
                "a\n[redacted]\nb",
            ),
            ("-----BEGIN PRIVATE KEY-----\nMIIE", "[redacted]"),
            ("password=\u{20ac}\u{e4} x", "password=[redacted] x"),
            ("user=bob pass=x pw=y", "user=bob pass=[redacted] pw=[redacted]"),
            ("password=a token=b", "password=[redacted] token=[redacted]"),
            ("PGPASSWORD=hunter2 psql", "PGPASSWORD=[redacted] psql"),
            ("login --password hunter2 --user me", "login --password [redacted] --user me"),
            ("login --db_password \"my secret\" me", "login --db_password [redacted] me"),
            ("login --token 'my secret' me", "login --token [redacted] me"),
            ("{\"api_key\": \"abc def\", \"n\": 1}", "{\"api_key\": [redacted], \"n\": 1}"),
            ("postgres://me:hun:ter2@db:5432/x refused", "postgres://me:[redacted]@db:5432/x refused"),
            ("postgres://me:p@ss'@db/x", "postgres://me:[redacted]@db/x"),
            ("//me:p@db and ://me:p@db", "//me:p@db and ://me:[redacted]@db"),
            ("proxy wants Basic dXNlcjpwYXNz", "proxy wants Basic [redacted]"),
            ("key AKIAIOSFODNN7EX cut", "key [redacted] cut"),
            ("ghp_abcdefghi cut", "[redacted] cut"),
            ("password: geheim\u{e4} weiter", "password: [redacted] weiter"),
            ("login --token 'my secret'me", "login --token [redacted]me"),
            ("a://me:[redacted]@b@c", "a://me:[redacted]@b@c"),
        ] {
            assert_eq!(redact(text), expected, "{text}");
            assert_eq!(redact(expected), expected, "once more: {text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        for text in [
            "",
            "password authentication failed for user bob",
            "tokens per second 12",
            "unexpected token < in JSON",
            "the secret of success",
            "https://host:8080/path@2x.png",
            "see https://host/a:b",
            "basic info",
            "bearer of news",
            "passed: 12",
            "compass=north",
            "-----BEGIN CERTIFICATE-----",
            "caf\u{e9} \u{20ac}",
        ] {
            assert!(matches!(redact(text), Cow::Borrowed(same) if same == text), "{text}: {}", redact(text));
        }
    }

    #[test]
    fn the_working_directory_of_sudo_and_words_of_prose_stay() {
        for text in [
            "root : PWD=/root ; USER=root ; COMMAND=/bin/ls",
            "bearer certificates",
            "the 'token' is gone",
            "max_tokens=512",
            "basic authentication failed",
            "Basic Authentication failed",
            "token expired",
            "password authentication failed for user \"me\"",
            "could not connect to http://db:5432/",
            "deploy --private-key /etc/ssl/x.key",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn a_hostile_text_takes_linear_time() {
        let parts = [
            "password=",
            "password=\"\\",
            "://a:",
            "-----BEGIN PRIVATE KEY-----",
            "eyJaaaaaaaa.",
            "token' ",
            "a://",
            "Bearer ",
            "--password ",
            "\\\"token\\\":\\\"\\",
        ];
        for part in parts {
            let time = |count: usize| {
                let text = part.repeat(count / part.len());
                let start = std::time::Instant::now();
                let _ = redact(&text);
                start.elapsed().as_secs_f64()
            };
            let (short, long) = (time(50_000), time(800_000));
            assert!(long < (short * 16.0) * 6.0 + 0.5, "{part}: {short} s, then {long} s");
        }
    }

    #[test]
    fn letters_beyond_ascii_do_not_slow_it_down() {
        let time = |letter: &str| {
            let text = format!("password: geheim{letter} weiter ").repeat(5_000);
            let start = std::time::Instant::now();
            let _ = redact(&text);
            start.elapsed().as_secs_f64()
        };
        let (ascii, beyond) = (time("a"), time("\u{e4}"));
        assert!(beyond < ascii * 4.0 + 0.1, "{ascii} s, then {beyond} s");
        assert_eq!(redact("\u{e4}AKIAIOSFODNN7EX"), "\u{e4}[redacted]");
    }

    #[test]
    fn the_name_of_a_field_says_that_its_value_is_a_secret() {
        for (name, value, expected) in [
            ("password", "hunter2", REDACTED),
            ("db.Password", "a b", REDACTED),
            ("DB_PASSWORD", "hunter2", REDACTED),
            ("accessKeyId", "x", REDACTED),
            ("Authorization", "Basic x", REDACTED),
            ("pass", "x", REDACTED),
            ("compass", "north", "north"),
            ("max_tokens", "512", "512"),
            ("pwd", "/root", "/root"),
            ("token", "", ""),
            ("url", "redis://:hunter2@db/0", "redis://:[redacted]@db/0"),
        ] {
            assert_eq!(redact_field(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn a_key_of_several_records_is_found_to_its_end() {
        let mut keys = OpenKeys::default();
        let lines = [
            (1, "-----BEGIN RSA PRIVATE KEY-----", false),
            (1, "Proc-Type: 4,ENCRYPTED", true),
            (2, "MIIabc+/=", false),
            (1, "", true),
            (1, "MIIabc+/=", true),
            (1, "-----END RSA PRIVATE KEY-----", true),
            (1, "MIIabc+/=", false),
            (3, "-----BEGIN PRIVATE KEY-----", false),
            (3, "a line of something else", false),
            (3, "MIIabc+/=", false),
            (4, "-----BEGIN CERTIFICATE-----", false),
            (4, "MIIabc+/=", false),
        ];
        for (writer, line, held) in lines {
            assert_eq!(keys.holds(writer, line), held, "{line}");
        }
        for writer in 0..10_000 {
            let _ = keys.holds(writer, "-----BEGIN PRIVATE KEY-----");
        }
        assert!(keys.0.len() <= MAX_OPEN_KEYS);
    }
}
