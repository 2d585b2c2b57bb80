//! From text to what is done with it.

use crate::rules::text;

/// Deepest nesting of `{{ if }}` and parentheses.
const MAX_DEPTH: usize = 16;

/// A part of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    /// The value of a pipeline takes the place of the braces.
    Output(Vec<Command>),
    /// `{{ $name := … }}`
    Set(String, Vec<Command>),
    /// Conditions in turn; the last one may be without.
    If(Vec<(Option<Vec<Command>>, Vec<Node>)>),
    /// The value is the dot inside, unless it is as good as none.
    With {
        of: Vec<Command>,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    /// The same for each element.
    Range {
        names: Vec<String>,
        of: Vec<Command>,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// A function with its arguments, or a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command(pub(super) Vec<Operand>);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Integer(i64),
    Number(f64),
    Text(String),
    Bool(bool),
    /// `.Labels.comm`: the fields of the dot.
    Dot(Vec<String>),
    /// `$labels.comm`
    Variable(String, Vec<String>),
    Function(&'static str),
    /// Between parentheses.
    Group(Vec<Command>, Vec<String>),
}

/// A piece of what is between braces.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    Pipe,
    Comma,
}

/// Text, or what is between braces.
enum Piece {
    Text(String),
    Action(Vec<Token>),
}

/// How a list of nodes ended.
enum End {
    Text,
    Over,
    Otherwise(Vec<Token>),
}

/// The parts of a text.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, String> {
    let mut pieces = pieces(text)?.into_iter();
    let (nodes, end) = nodes(&mut pieces, 0)?;
    match end {
        End::Text => Ok(nodes),
        End::Over => Err("{{ end }} without its beginning".to_owned()),
        End::Otherwise(_) => Err("{{ else }} without {{ if }}".to_owned()),
    }
}

/// Texts and actions in turn. `{{-` and `-}}` take the white space beside them away.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (after, trims_before) = match after.strip_prefix('-') {
            Some(after) if after.starts_with(char::is_whitespace) => (after, true),
            _ => (after, false),
        };
        let end = action_end(after).ok_or("{{ has no }}")?;
        let (inside, after) = (&after[..end], &after[end + 2..]);
        let (inside, trims_after) = match inside.strip_suffix('-') {
            Some(inside) if inside.ends_with(char::is_whitespace) => (inside, true),
            _ => (inside, false),
        };
        pieces.push(Piece::Text(if trims_before { before.trim_end() } else { before }.to_owned()));
        let is_comment = inside.trim().starts_with("/*") && inside.trim().ends_with("*/");
        if !is_comment {
            pieces.push(Piece::Action(tokens(inside)?));
        }
        rest = if trims_after { after.trim_start() } else { after };
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

/// Where the braces close, outside of quotes.
fn action_end(text: &str) -> Option<usize> {
    if text.trim_start().starts_with("/*") {
        let comment = text.find("*/")?;
        return Some(comment + text[comment..].find("}}")?);
    }
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            None if matches!(c, '"' | '`') => quote = Some(c),
            None if text[at..].starts_with("}}") => return Some(at),
            _ => {}
        }
    }
    None
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, bytes) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '|' => (Token::Pipe, 1),
            ',' => (Token::Comma, 1),
            '"' | '`' => {
                let (inside, after) =
                    text::quoted(rest).ok_or_else(|| format!("a quote stays open in {{{{{text}}}}}"))?;
                (Token::Text(inside), rest.len() - after.len())
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || "()|,\"`".contains(c);
                let bytes = rest.find(ends).unwrap_or(rest.len());
                (Token::Word(rest[..bytes].to_owned()), bytes)
            }
        };
        tokens.push(token);
        rest = rest[bytes..].trim_start();
    }
    Ok(tokens)
}

/// Nodes up to `end`, `else` or the end of the text.
fn nodes(pieces: &mut impl Iterator<Item = Piece>, depth: usize) -> Result<(Vec<Node>, End), String> {
    if depth > MAX_DEPTH {
        return Err("it nests too deep".to_owned());
    }
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let tokens = match piece {
            Piece::Text(text) => {
                if !text.is_empty() {
                    nodes.push(Node::Text(text));
                }
                continue;
            }
            Piece::Action(tokens) => tokens,
        };
        let word = match tokens.first() {
            Some(Token::Word(word)) => word.as_str(),
            _ => "",
        };
        nodes.push(match word {
            "end" => return Ok((nodes, End::Over)),
            "else" => return Ok((nodes, End::Otherwise(tokens[1..].to_vec()))),
            "if" => branches(&tokens[1..], pieces, depth)?,
            "with" => {
                let (of, (body, otherwise)) = (pipeline(&tokens[1..])?, both(pieces, depth)?);
                Node::With { of, body, otherwise }
            }
            "range" => {
                let (names, rest) = declared(&tokens[1..]);
                let (of, (body, otherwise)) = (pipeline(rest)?, both(pieces, depth)?);
                Node::Range { names, of, body, otherwise }
            }
            _ => match declared(&tokens) {
                (names, rest) if names.len() == 1 => Node::Set(names[0].clone(), pipeline(rest)?),
                _ => Node::Output(pipeline(&tokens)?),
            },
        });
    }
    Ok((nodes, End::Text))
}

fn branches(
    condition: &[Token],
    pieces: &mut impl Iterator<Item = Piece>,
    depth: usize,
) -> Result<Node, String> {
    let mut all = Vec::new();
    let mut condition = Some(pipeline(condition)?);
    loop {
        let (body, end) = nodes(pieces, depth + 1)?;
        let is_last = condition.is_none();
        all.push((condition, body));
        condition = match end {
            End::Over => return Ok(Node::If(all)),
            End::Otherwise(tokens) if !is_last => match tokens.split_first() {
                None => None,
                Some((Token::Word(word), rest)) if word == "if" => Some(pipeline(rest)?),
                Some(_) => return Err("{{ else }} is followed by if, or by nothing".to_owned()),
            },
            End::Otherwise(_) => return Err("a second {{ else }}".to_owned()),
            End::Text => return Err("{{ if }} has no {{ end }}".to_owned()),
        };
    }
}

/// The nodes up to `end`, before and after an `else`.
fn both(pieces: &mut impl Iterator<Item = Piece>, depth: usize) -> Result<(Vec<Node>, Vec<Node>), String> {
    let open = || "{{ with }} or {{ range }} has no {{ end }}".to_owned();
    let (body, end) = nodes(pieces, depth + 1)?;
    match end {
        End::Over => Ok((body, Vec::new())),
        End::Text => Err(open()),
        End::Otherwise(_) => match nodes(pieces, depth + 1)? {
            (otherwise, End::Over) => Ok((body, otherwise)),
            _ => Err(open()),
        },
    }
}

/// The names before `:=` or `=`, and what follows.
fn declared(tokens: &[Token]) -> (Vec<String>, &[Token]) {
    let is_assignment = |token: &Token| matches!(token, Token::Word(word) if word == ":=" || word == "=");
    let Some(at) = tokens.iter().position(is_assignment) else { return (Vec::new(), tokens) };
    let names = tokens[..at].iter().filter_map(|token| match token {
        Token::Word(word) => word.strip_prefix('$').map(str::to_owned),
        _ => None,
    });
    (names.collect(), &tokens[at + 1..])
}

fn pipeline(tokens: &[Token]) -> Result<Vec<Command>, String> {
    let mut at = 0;
    let commands = commands(tokens, &mut at, 0)?;
    if at < tokens.len() {
        return Err("a parenthesis closes that is not open".to_owned());
    }
    Ok(commands)
}

/// Commands up to a closing parenthesis or the end.
fn commands(tokens: &[Token], at: &mut usize, depth: usize) -> Result<Vec<Command>, String> {
    if depth > MAX_DEPTH {
        return Err("it nests too deep".to_owned());
    }
    let mut commands = Vec::new();
    let mut own = Vec::new();
    while let Some(token) = tokens.get(*at) {
        match token {
            Token::Close => break,
            Token::Pipe => commands.push(Command(std::mem::take(&mut own))),
            Token::Comma => return Err("an unexpected comma".to_owned()),
            Token::Text(text) => own.push(Operand::Text(text.clone())),
            Token::Word(word) => own.push(operand(word)?),
            Token::Open => {
                *at += 1;
                let inside = self::commands(tokens, at, depth + 1)?;
                if tokens.get(*at) != Some(&Token::Close) {
                    return Err("a parenthesis stays open".to_owned());
                }
                // `(index $x 0).Value`
                let fields = match tokens.get(*at + 1) {
                    Some(Token::Word(word)) if word.starts_with('.') && word.len() > 1 => {
                        *at += 1;
                        fields(&word[1..])?
                    }
                    _ => Vec::new(),
                };
                own.push(Operand::Group(inside, fields));
            }
        }
        *at += 1;
    }
    commands.push(Command(own));
    let empty = || "{{ }} has nothing in it".to_owned();
    if commands.iter().any(|command| command.0.is_empty()) { Err(empty()) } else { Ok(commands) }
}

fn operand(word: &str) -> Result<Operand, String> {
    if let Some(variable) = word.strip_prefix('$') {
        let (name, rest) =
            variable.split_once('.').map_or((variable, None), |(name, rest)| (name, Some(rest)));
        return Ok(Operand::Variable(name.to_owned(), rest.map(fields).transpose()?.unwrap_or_default()));
    }
    if word == "." {
        return Ok(Operand::Dot(Vec::new()));
    }
    if let Some(rest) = word.strip_prefix('.') {
        return Ok(Operand::Dot(fields(rest)?));
    }
    if word == "true" || word == "false" {
        return Ok(Operand::Bool(word == "true"));
    }
    if word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
        if let Ok(integer) = word.parse() {
            return Ok(Operand::Integer(integer));
        }
        return word.parse().map(Operand::Number).map_err(|_| format!("{word} is no number"));
    }
    let known = super::functions::NAMES.iter().find(|name| **name == word);
    known
        .map(|name| Operand::Function(name))
        .ok_or_else(|| format!("{word} is not supported; there are {}", super::functions::NAMES.join(", ")))
}

fn fields(text: &str) -> Result<Vec<String>, String> {
    let fields: Vec<String> = text.split('.').map(str::to_owned).collect();
    let wrong = fields.iter().find(|field| !crate::rules::is_label(field));
    wrong.map_or(Ok(fields.clone()), |wrong| Err(format!("{wrong:?} is not the name of a label")))
}
