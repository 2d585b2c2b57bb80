//! Takes secrets out of a text.
//!
//! What is found, in any case of letters:
//! - values of names that end in `password`, `passwd`, `passphrase`, `pwd`, `secret`, `token`, `api_key`, `access_key`,
//!   `private_key`, `credentials`, as `name=value`, `name: value`, `"name": "value"`, `--name value`
//! - `Authorization:`, `Proxy-Authorization:`, `Cookie:`, `Set-Cookie:` and what follows in the line; `Bearer …` anywhere, if it has a digit
//! - values of `pass=` and `pw=`; not of `pwd=` where it is a directory
//! - the password of `scheme://user:password@host`
//! - private keys in PEM, to their end or the text's
//! - by their shape: keys of AWS (`AKIA…`), Google (`AIza…`), GitHub, GitLab, Slack, Stripe, npm; JSON web tokens
//!
//! What looks like none of these is not found; a line with a password as a bare word keeps it.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// Words that a text with a secret has. Most lines have none of them, and are done after one pass.
static HINT: LazyLock<Regex> = LazyLock::new(|| {
    compiled(concat!(
        r"(?i-u:pass|pwd|secret|token|api[_-]?key|access[_-]?key|private[_ -]?key|credential|authorization|cookie|bearer|pw=)",
        r"|://|AKIA|ASIA|AIza|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|[sr]k_(?:live|test)_|npm_|eyJ",
    ))
});

/// Alternatives in one pass, so that a text is read once. The groups `k…` are kept, what else matches is replaced.
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    compiled(concat!(
        r"(?s)-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\z)",
        r"|(?P<kh>(?i-u:\b(?:proxy-)?authorization|\b(?:set-)?cookie)[\x22']?[ \t]*[:=][ \t]*)[^\r\n]+",
        r"|(?P<kb>(?i-u:\bbearer) +)[A-Za-z0-9+/=._~-]{8,}",
        r"|(?P<kp>(?i-u:\b(?:pass|pw)=))[^\s,;&\x22']+",
        r"|(?P<ku>[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/:@\x22']{0,256}:)[^\s/@\x22']{1,256}(?P<ka>@)",
        r"|(?P<kv>(?i-u:(?:passwords?|passwd|passphrase|pwd|secrets?|token|api[_-]?keys?|access[_-]?keys?|access[_-]?key[_-]?id",
        r"|private[_-]?keys?|credentials?)))",
        r"(?P<ks>\\?[\x22']?[ \t]*(?::=|=>|[:=])[ \t]*)",
        r"(?:\[redacted\]|\\\x22(?:[^\\]|\\[^\x22])*\\\x22|\x22(?:[^\x22\\]|\\.)*\x22?|'(?:[^'\\]|\\.)*'?|[^\s,;&\x22'\)\}\]]+)",
        r"|(?P<ko>--?(?i-u:[a-z-]{0,40}(?:password|passwd|passphrase|pwd|secret|token|api-?key|access-?key)) +)[^\s-][^\s]*",
        r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{35}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}",
        r"|\bglpat-[A-Za-z0-9_-]{20,}|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\b[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|\bnpm_[A-Za-z0-9]{30,}",
        r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    ))
});

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern that a test compiles")
}

/// The text without its secrets; each is [`REDACTED`] afterwards. Takes time linear in the text.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    if !HINT.is_match(text) {
        return Cow::Borrowed(text);
    }
    SECRET.replace_all(text, |found: &Captures<'_>| {
        let kept = |name| found.name(name).map_or("", |group| group.as_str());
        let before = ["kh", "kb", "kp", "ku", "kv", "ko"].map(kept).concat() + kept("ks");
        let value = &found[0][before.len()..];
        let is_prose = !kept("kb").is_empty() && !value.bytes().any(|byte| byte.is_ascii_digit());
        let is_directory = kept("kv").eq_ignore_ascii_case("pwd") && value.starts_with('/');
        if is_prose || is_directory {
            return found[0].to_owned();
        }
        format!("{before}{REDACTED}{}", kept("ka"))
    })
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
}
