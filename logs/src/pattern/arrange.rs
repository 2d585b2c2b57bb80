//! What is done with the tokens of a whole line: fields that come and go do not tell statements apart.

use super::mask::{Kind, MAX_WORD_BYTES, Masked, Token, WILD};
use super::words::is_message_key;

/// What stands for fields in the middle of a line.
const FIELDS: &[u8] = b"<fields>";
/// Words that a line must have besides its fields, so that the fields can be left out.
const MIN_WORDS: usize = 2;
/// `, key: value` pairs at the end of a line that are fields rather than words.
const MIN_TRAILING_FIELDS: usize = 2;

/// Leaves out the fields of a line that has words of its own: `key=value`, `key = value`, and `, key: value` at its end.
pub(super) fn pairs(masked: &mut Masked, has_message: bool) {
    let tokens = std::mem::take(&mut masked.tokens);
    let text = std::mem::take(&mut masked.text);
    let bytes = |token: &Token| &text[token.start as usize..token.end as usize];
    let end = trailing_fields(&tokens, &bytes);
    let is_word = |token: &&Token| {
        token.kind == Kind::Word
            || token.kind == Kind::Fixed && bytes(token).iter().any(u8::is_ascii_alphabetic)
    };
    let words = tokens[..end].iter().filter(is_word).count();
    let drop_pairs = has_message || words >= MIN_WORDS;
    masked.text.reserve(text.len());
    let mut in_fields = false;
    let mut nth = 0;
    while let Some(token) = tokens[..end].get(nth) {
        let spaced = tokens[..end].get(nth + 1).is_some_and(|next| bytes(next) == b"=") && nth + 2 < end;
        if drop_pairs && (spaced || token.kind == Kind::Pair) {
            in_fields = true;
            nth += if spaced { 3 } else { 1 };
            continue;
        }
        nth += 1;
        if in_fields && !has_message && !masked.tokens.is_empty() {
            masked.push(Kind::Fixed, &[FIELDS]);
        }
        in_fields = false;
        masked.push(token.kind, &[bytes(token)]);
    }
    // Nothing but fields: their names are all there is.
    if masked.tokens.is_empty() {
        masked.text = text;
        masked.tokens = tokens;
        return;
    }
    if (in_fields || end < tokens.len()) && masked.text.last() == Some(&b',') {
        masked.text.pop();
        if let Some(last) = masked.tokens.last_mut() {
            last.end -= 1;
            last.comma = false;
        }
    }
}

/// Where the `, key: value` pairs begin that reach to the end; the number of tokens if there are none.
fn trailing_fields<'a>(tokens: &[Token], bytes: &impl Fn(&Token) -> &'a [u8]) -> usize {
    let mut start = tokens.len();
    let mut found = 0;
    while start >= 3 {
        let [before, key, value] = [tokens[start - 3], tokens[start - 2], tokens[start - 1]];
        let key = bytes(&key);
        let is_key = key.len() > 1
            && key.ends_with(b":")
            && key[..key.len() - 1].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        let ends = start == tokens.len() || value.comma;
        if !(before.comma && is_key && ends && value.kind != Kind::Pair) {
            break;
        }
        start -= 2;
        found += 1;
    }
    if found >= MIN_TRAILING_FIELDS { start } else { tokens.len() }
}

/// Reads a line that is one JSON object: its message, else its keys. False if it is none.
pub(super) fn json(masked: &mut Masked, line: &str) -> bool {
    let b = line.as_bytes();
    let mut at = 1;
    let mut members: Vec<(&[u8], &[u8])> = Vec::new();
    loop {
        at = skip_blanks(b, at);
        match b.get(at) {
            Some(b'}') => break,
            Some(b',') => at += 1,
            Some(b'"') => {
                let Some(key_end) = string_end(b, at) else { return false };
                let colon = skip_blanks(b, key_end);
                if b.get(colon) != Some(&b':') {
                    return false;
                }
                let value = skip_blanks(b, colon + 1);
                let Some(value_end) = value_end(b, value) else { break };
                members.push((&b[at + 1..key_end - 1], &b[value..value_end]));
                at = value_end;
                if members.len() > 64 {
                    break;
                }
            }
            // A long object is cut.
            None if !members.is_empty() => break,
            _ => return false,
        }
    }
    if let Some((_, value)) =
        members.iter().find(|(key, value)| is_message_key(key) && value.starts_with(b"\""))
    {
        masked.line(&value[1..value.len() - 1], true);
        return !masked.tokens.is_empty();
    }
    for (key, value) in members.iter().take(24) {
        let is_name = |value: &[u8]| {
            value.len() > 2
                && value.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'"' | b'_' | b'-'))
        };
        let key =
            if key.iter().any(|b| b.is_ascii_whitespace() || b.is_ascii_control()) { WILD } else { key };
        masked.push(Kind::Fixed, &[&key[..key.len().min(MAX_WORD_BYTES)], b":"]);
        // A name may be what the line is about; what is none is a parameter.
        if value.starts_with(b"\"") && is_name(value) {
            masked.push(Kind::Word, &[&value[1..value.len() - 1]]);
        } else {
            masked.push(Kind::Wild, &[WILD]);
        }
    }
    !masked.tokens.is_empty()
}

fn skip_blanks(b: &[u8], from: usize) -> usize {
    from + b.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_whitespace()).count()
}

/// Behind the string that begins at `from`.
fn string_end(b: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 1;
    while at < b.len() {
        match b[at] {
            b'\\' => at += 1,
            b'"' => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Behind the value that begins at `from`.
fn value_end(b: &[u8], from: usize) -> Option<usize> {
    match b.get(from)? {
        b'"' => string_end(b, from),
        b'{' | b'[' => {
            let mut depth = 0_usize;
            let mut at = from;
            while at < b.len() {
                match b[at] {
                    b'"' => {
                        at = string_end(b, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
            None
        }
        _ => Some(from + b[from..].iter().take_while(|b| !matches!(b, b',' | b'}')).count()),
    }
}
