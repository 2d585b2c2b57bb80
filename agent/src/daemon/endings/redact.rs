//! Takes secrets out of what a process wrote and was started with.
//!
//! What is replaced by `***`: the value behind a name that ends with one of [`NAMES`] and `=` or `:` (also in JSON), what follows
//! `--password` and its like, what follows `Bearer` or `Basic`, the password in a URL, keys that begin with one of [`PREFIXES`],
//! and the body of a PEM private key.

use std::borrow::Cow;

/// Ends of names whose values are secret, in lower case.
const NAMES: [&str; 14] = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "private_key",
    "credential",
    "credentials",
    "authorization",
];
/// How keys of well-known services begin.
const PREFIXES: [&str; 8] = ["AKIA", "ASIA", "ghp_", "gho_", "github_pat_", "xoxb-", "sk_live_", "glpat-"];
const HIDDEN: &str = "***";

/// The text without its secrets.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_key = false;
    for line in text.split_inclusive('\n') {
        if line.contains("-----BEGIN ") && line.contains("PRIVATE KEY-----") {
            in_key = true;
            out.push_str(line);
        } else if in_key {
            in_key = !line.contains("-----END ");
            out.push_str(if in_key { "***\n" } else { line });
        } else {
            out.push_str(&self::line(line));
        }
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// End of a value: to the quote that closes it, else to a blank or separator.
fn value_end(text: &str, quote: Option<char>) -> usize {
    let ends = |c: char| match quote {
        Some(quote) => c == quote,
        None => c.is_whitespace() || matches!(c, ',' | ';' | '&' | '"' | '\'' | ')' | '}' | ']'),
    };
    text.find(ends).unwrap_or(text.len())
}

fn line(line: &str) -> Cow<'_, str> {
    let lower = line.to_ascii_lowercase();
    let might = lower.contains("://")
        || ["bearer ", "basic "].iter().any(|word| lower.contains(word))
        || NAMES.iter().any(|name| lower.contains(name))
        || PREFIXES.iter().any(|prefix| line.contains(prefix));
    if !might {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        if !is_word(c) {
            if let Some(hidden) = in_url(&line[at..]) {
                out.push_str("://");
                out.push_str(&line[at + 3..at + hidden.0]);
                out.push_str(HIDDEN);
                at += hidden.1;
                continue;
            }
            out.push(c);
            at += c.len_utf8();
            continue;
        }
        let word = &line[at..at + line[at..].find(|c| !is_word(c)).unwrap_or(line.len() - at)];
        let rest = &line[at + word.len()..];
        at += word.len();
        if PREFIXES.iter().any(|prefix| word.starts_with(prefix) && word.len() > prefix.len() + 8) {
            out.push_str(HIDDEN);
            continue;
        }
        out.push_str(word);
        let lower = word.to_ascii_lowercase();
        let secret = if lower == "bearer" || (lower == "basic" && rest.len() > 9) {
            blanks(rest).filter(|skip| *skip > 0)
        } else if NAMES.iter().any(|name| lower.ends_with(name)) {
            after_name(rest, word.starts_with("--"))
        } else {
            None
        };
        if let Some(skip) = secret {
            out.push_str(&rest[..skip]);
            let mut value = &rest[skip..];
            at += skip;
            // `Authorization: Bearer x`.
            for scheme in ["Bearer ", "Basic ", "bearer ", "basic "] {
                if let Some(behind) = value.strip_prefix(scheme) {
                    out.push_str(scheme);
                    (value, at) = (behind, at + scheme.len());
                }
            }
            let quote = out.chars().next_back().filter(|c| matches!(c, '"' | '\''));
            let end = value_end(value, quote);
            if end > 0 {
                out.push_str(HIDDEN);
            }
            at += end;
        }
    }
    Cow::Owned(out)
}

/// Bytes of blanks, if something follows.
fn blanks(rest: &str) -> Option<usize> {
    let value = rest.trim_start_matches(' ');
    (!value.trim_end().is_empty()).then_some(rest.len() - value.len())
}

/// Bytes from a name to its value: `=x`, `: x`, `": "x`, and after a flag ` x`.
fn after_name(rest: &str, is_flag: bool) -> Option<usize> {
    let unquoted = rest.trim_start_matches(['"', '\'']);
    let value = unquoted.trim_start_matches(' ');
    let value = match value.strip_prefix(['=', ':']) {
        Some(value) => value.trim_start_matches([' ', '>']),
        None if is_flag && value.len() < rest.len() => value,
        None => return None,
    };
    let value = value.strip_prefix(['"', '\'']).unwrap_or(value);
    Some(rest.len() - value.len())
}

/// Of `://user:password@`: where the password begins and ends.
fn in_url(text: &str) -> Option<(usize, usize)> {
    let authority = text.strip_prefix("://")?;
    let end = authority
        .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"'))
        .unwrap_or(authority.len());
    let (user, _) = authority[..end].rsplit_once('@')?;
    let (name, _) = user.split_once(':')?;
    Some((3 + name.len() + 1, 3 + user.len()))
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn secrets_are_hidden_and_the_rest_stays() {
        for (given, shown) in [
            ("PGPASSWORD=hunter2 psql", "PGPASSWORD=*** psql"),
            ("login --password hunter2 --user me", "login --password *** --user me"),
            ("{\"api_key\": \"abc def\", \"n\": 1}", "{\"api_key\": \"***\", \"n\": 1}"),
            ("postgres://me:hun:ter2@db:5432/x refused", "postgres://me:***@db:5432/x refused"),
            ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
            ("key AKIAIOSFODNN7EXAMPLE used", "key *** used"),
            ("token expired", "token expired"),
            (
                "password authentication failed for user \"me\"",
                "password authentication failed for user \"me\"",
            ),
            ("could not connect to http://db:5432/", "could not connect to http://db:5432/"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----\nafter",
                "-----BEGIN RSA PRIVATE KEY-----\n***\n-----END RSA PRIVATE KEY-----\nafter",
            ),
            ("password: geheim\u{e4} weiter", "password: *** weiter"),
            ("", ""),
        ] {
            assert_eq!(text(given), shown);
        }
    }

    #[test]
    fn no_text_is_a_panic() {
        let pieces = [
            "password", "=", ":", "\"", "'", " ", "://", "@", "\u{e4}", "--", "Bearer ", "AKIA", "\n",
            "token",
        ];
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            let mut made = String::new();
            for _ in 0..8 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                made.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            let _ = text(&made);
        }
    }
}
