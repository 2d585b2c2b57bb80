//! Folded stacks → one searchable, zoomable SVG. Pure; the only file that names inferno.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, Write};

use agent_common::text::cleaned;
use inferno::flamegraph::{self, Palette, color::Color, color::PaletteMap};
use profile::{Folded, Kind};

use crate::diff::Difference;

/// Frames drawn at most: browsers get slow beyond some 10,000 groups, and a frame is ~350 bytes of SVG.
/// Narrower frames than fit are left out, and the subtitle says so.
pub const MAX_DRAWN: usize = 10_000;
/// Frames this wide (in per cent; about a pixel) are drawn, however many they are.
const VISIBLE_PCT: f64 = 0.1;

/// Characters of a line of the subtitle, which has two: 1,200 pixels of 12-pixel monospace.
const MAX_SUBTITLE: usize = 165;

/// Weights that add up to more are scaled down: inferno keeps positions in f64, exact to 2^53.
const MAX_TOTAL: u128 = 1 << 52;

/// Colours of what has no tint of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Theme {
    /// Code that ran: warm.
    #[default]
    Ran,
    /// Code that waited: pale, so that the reasons stand out.
    Waited,
}

/// What stands around the graph.
#[derive(Debug, Clone)]
pub struct SvgOptions {
    /// Heading.
    pub title: String,
    /// Second line: what the profile covers (expected, captured, lost, symbolized).
    pub subtitle: Option<String>,
    /// What a weight is: `samples`, `ns`.
    pub count_name: String,
    /// Why there may be nothing to show; printed in place of an empty graph.
    pub empty_reason: Option<String>,
    /// Root at the top.
    pub icicle: bool,
    /// Narrowest frame to draw, in per cent of the width; more is pruned above [`MAX_DRAWN`] frames.
    pub min_width_pct: f64,
    /// Colours of the other frames.
    pub theme: Theme,
    /// Frames of exactly these names have these colours: red, green, blue.
    pub tints: Vec<(String, [u8; 3])>,
}

impl Default for SvgOptions {
    fn default() -> Self {
        Self {
            title: "Flame graph".to_owned(),
            subtitle: None,
            count_name: "samples".to_owned(),
            empty_reason: None,
            icicle: false,
            min_width_pct: 0.01,
            theme: Theme::Ran,
            tints: Vec::new(),
        }
    }
}

/// Writes `folded` as SVG. An empty profile gives an SVG that says so, and why if the options know.
pub fn write(folded: &Folded, options: &SvgOptions, out: impl Write) -> io::Result<()> {
    let total: u128 = folded.stacks.iter().map(|(_, weight)| u128::from(*weight)).sum();
    if total == 0 {
        return write_empty(options, out);
    }
    let shift = shift(total);
    let lines = folded.stacks.iter().filter_map(|(stack, weight)| {
        let weight = weight >> shift;
        (weight > 0).then(|| format!("{stack} {weight}"))
    });
    let mut palette = palette(folded, options);
    let (min_width, hidden) = min_width_pct(folded, total, options.min_width_pct);
    let mut inferno = inferno_options(options, &subtitle(options, min_width, hidden), min_width, shift);
    inferno.palette_map = Some(&mut palette);
    draw(inferno, lines, out)
}

/// Writes the profile after a change, coloured by what changed: a frame is red if it was itself on top more often than
/// before, blue if less. Stacks that are gone have no width: [`Difference::changes`] names them.
pub fn write_difference(difference: &Difference, options: &SvgOptions, out: impl Write) -> io::Result<()> {
    let stacks = difference.stacks.iter().filter(|(_, _, after)| *after > 0);
    let folded = Folded {
        stacks: stacks.map(|(stack, _, after)| (stack.clone(), *after)).collect(),
        ..Folded::default()
    };
    let total: u128 = folded.stacks.iter().map(|(_, weight)| u128::from(*weight)).sum();
    if total == 0 {
        return write_empty(options, out);
    }
    let before: u128 = difference.stacks.iter().map(|(_, before, _)| u128::from(*before)).sum();
    let shift = shift(total.max(before));
    // All of them: what is gone from below a frame counts against it, though it is not drawn itself.
    let lines = difference
        .stacks
        .iter()
        .map(|(stack, before, after)| format!("{stack} {} {}", before >> shift, after >> shift));
    let (min_width, hidden) = min_width_pct(&folded, total, options.min_width_pct);
    let inferno = inferno_options(options, &subtitle(options, min_width, hidden), min_width, shift);
    draw(inferno, lines, out)
}

/// Bits that weights lose so that they add up to [`MAX_TOTAL`] at most.
fn shift(total: u128) -> u32 {
    (128 - (total / MAX_TOTAL).leading_zeros()).min(63)
}

fn inferno_options<'a>(
    options: &SvgOptions,
    subtitle: &str,
    min_width: f64,
    shift: u32,
) -> flamegraph::Options<'a> {
    let mut inferno = flamegraph::Options::default();
    inferno.title = xml_text(&options.title);
    inferno.subtitle = (!subtitle.is_empty()).then(|| subtitle.to_owned());
    inferno.count_name = xml_text(&options.count_name);
    inferno.min_width = min_width;
    inferno.factor = 2f64.powi(shift as i32);
    inferno.deterministic = true;
    inferno.colors = Palette::default();
    if options.icicle {
        inferno.direction = flamegraph::Direction::Inverted;
    }
    // The stacks are in frame-wise order, which inferno would undo by sorting bytes; a "flame chart"
    // is the one mode that keeps the order it is given (reversed).
    inferno.flame_chart = true;
    inferno
}

fn draw(
    mut inferno: flamegraph::Options<'_>,
    lines: impl Iterator<Item = String>,
    mut out: impl Write,
) -> io::Result<()> {
    let lines: Vec<String> = lines.collect();
    let mut picture = Vec::new();
    flamegraph::from_lines(&mut inferno, lines.iter().rev().map(String::as_str), &mut picture)?;
    out.write_all(&in_two_lines(picture))
}

/// Where [`subtitle`] breaks, if it does: the picture has a line of text there, which does not break by itself.
fn in_two_lines(picture: Vec<u8>) -> Vec<u8> {
    let find = |from: usize, what: &str| {
        picture[from..].windows(what.len()).position(|window| window == what.as_bytes()).map(|at| from + at)
    };
    let found = find(0, "<text id=\"subtitle\"").and_then(|element| {
        let begin = find(element, ">")? + 1;
        let end = find(begin, "</text>")?;
        let broken = find(begin, "\n").filter(|at| *at < end)?;
        Some((begin, broken, end))
    });
    let Some((begin, broken, end)) = found else { return picture };
    let mut split = picture[..begin].to_vec();
    split.extend_from_slice(b"<tspan x=\"50%\" dy=\"-8\">");
    split.extend_from_slice(&picture[begin..broken]);
    split.extend_from_slice(b"</tspan><tspan x=\"50%\" dy=\"14\">");
    split.extend_from_slice(&picture[broken + 1..end]);
    split.extend_from_slice(b"</tspan>");
    split.extend_from_slice(&picture[end..]);
    split
}

/// The lines below the title, with a note on what is not drawn, cut to what fits: they are centred, so a longer one would
/// lose both its ends. Broken where something new begins.
fn subtitle(options: &SvgOptions, min_width: f64, hidden: usize) -> String {
    let mut note = String::new();
    if hidden > 0 {
        let _ = write!(note, "{hidden} frames under {min_width:.2}% of the width not drawn");
    }
    let text = xml_text(options.subtitle.as_deref().unwrap_or_default());
    if !text.is_empty() && !note.is_empty() {
        note.insert_str(0, "; ");
    }
    let chars: Vec<char> = text.chars().collect();
    if chars.len() + note.len() <= MAX_SUBTITLE {
        return text + &note;
    }
    let ends = |at: &usize| matches!(chars[*at - 1], ';' | ',') && chars[*at] == ' ';
    let broken = (1..chars.len().min(MAX_SUBTITLE)).rev().find(ends).unwrap_or(chars.len().min(MAX_SUBTITLE));
    let (first, rest) = chars.split_at(broken);
    let room = MAX_SUBTITLE.saturating_sub(note.len());
    let mut second: String = rest.iter().collect::<String>().trim_start().to_owned();
    if second.chars().count() > room {
        second = second.chars().take(room.saturating_sub(2)).collect();
        second.push_str("..");
    }
    format!("{}\n{second}{note}", first.iter().collect::<String>())
}

/// The width in per cent under which frames are left out so that some [`MAX_DRAWN`] are drawn, and how
/// many that leaves out.
fn min_width_pct(folded: &Folded, total: u128, wanted: f64) -> (f64, usize) {
    let mut weights = frame_weights(folded);
    let pct = |weight: f64| weight * 100.0 / total as f64;
    let mut min_width = wanted;
    if weights.len() > MAX_DRAWN {
        let (_, cut, _) = weights.select_nth_unstable_by(MAX_DRAWN, |a, b| b.cmp(a));
        // Just above the widest frame that must go: equals go together.
        min_width = pct(*cut as f64 + 0.5).min(VISIBLE_PCT).max(wanted);
    }
    (min_width, weights.iter().filter(|&&weight| pct(weight as f64) < min_width).count())
}

/// Weight of every frame that would be drawn. Relies on the stacks' frame-wise order.
fn frame_weights(folded: &Folded) -> Vec<u64> {
    let mut weights = Vec::new();
    let mut open: Vec<(&str, u64)> = Vec::new();
    for (stack, weight) in &folded.stacks {
        let mut depth = 0;
        for frame in stack.split(';') {
            if open.get(depth).is_none_or(|(name, _)| *name != frame) {
                weights.extend(open.drain(depth..).map(|(_, weight)| weight));
                open.push((frame, 0));
            }
            open[depth].1 = open[depth].1.saturating_add(*weight);
            depth += 1;
        }
        weights.extend(open.drain(depth..).map(|(_, weight)| weight));
    }
    weights.extend(open.into_iter().map(|(_, weight)| weight));
    weights
}

/// One colour a name, by kind, the same in every graph.
fn palette(folded: &Folded, options: &SvgOptions) -> PaletteMap {
    let mut palette = PaletteMap::default();
    palette.insert("", rgb(0xd8, 0xd8, 0xd8));
    let mut seen = HashSet::new();
    for frame in folded.stacks.iter().flat_map(|(stack, _)| stack.split(';')) {
        if seen.insert(frame) {
            let tint = options.tints.iter().find(|(name, _)| name == frame);
            palette.insert(
                frame,
                tint.map_or_else(|| colour(frame, options.theme), |(_, [r, g, b])| rgb(*r, *g, *b)),
            );
        }
    }
    palette
}

const fn rgb(r: u8, g: u8, b: u8) -> Color {
    Color { r, g, b }
}

/// Kernel orange, inlined pale blue, compiled at run time green, interpreted olive, unnamed grey, C++ and Rust yellow,
/// other native code red; who woke aqua; in the theme of waiting pale blue, the kernel's paler. The shade comes from
/// the name.
fn colour(frame: &str, theme: Theme) -> Color {
    // FNV-1a: stable across runs and machines, which std's hasher is not.
    let hash = frame
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let shade = ((hash >> 32) % 56) as u8;
    let (kind, name) = Kind::of_text(frame);
    match (theme, kind) {
        (_, Kind::Waker) => rgb(90 + shade / 2, 190 + shade / 2, 200 + shade / 2),
        (Theme::Waited, Kind::Kernel) => rgb(196 + shade / 3, 206 + shade / 3, 226 + shade / 3),
        (_, Kind::Unnamed) => rgb(170 + shade, 170 + shade, 170 + shade),
        (Theme::Waited, _) => rgb(150 + shade / 2, 176 + shade / 2, 214 + shade / 2),
        (Theme::Ran, Kind::Kernel) => rgb(220 + shade / 2, 130 + shade / 2, 20 + shade),
        (Theme::Ran, Kind::Inlined) => rgb(120 + shade / 2, 190 + shade / 2, 220 + shade / 2),
        (Theme::Ran, Kind::Jit) => rgb(80 + shade, 190 + shade, 80 + shade),
        (Theme::Ran, Kind::Interpreted) => rgb(150 + shade / 2, 200 + shade / 2, 30 + shade),
        (Theme::Ran, _) if name.contains("::") => rgb(190 + shade, 190 + shade, 60 + shade),
        (Theme::Ran, _) => rgb(200 + shade, 70 + shade, 60 + shade),
    }
}

/// Text without the characters that XML 1.0 forbids even when escaped, nor any that hides or turns what it shows.
fn xml_text(text: &str) -> String {
    cleaned(text).chars().map(|char| if char.is_whitespace() { ' ' } else { char }).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn write_empty(options: &SvgOptions, mut out: impl Write) -> io::Result<()> {
    let reason = options.empty_reason.as_deref().unwrap_or("no sample was taken in the window");
    let picture = format!(
        concat!(
            "<?xml version=\"1.0\" standalone=\"no\"?>\n",
            "<svg version=\"1.1\" width=\"1200\" height=\"120\" viewBox=\"0 0 1200 120\" ",
            "xmlns=\"http://www.w3.org/2000/svg\" font-family=\"monospace\" text-anchor=\"middle\">\n",
            "<rect width=\"100%\" height=\"100%\" fill=\"#f8f8f8\"/>\n",
            "<text id=\"title\" x=\"600\" y=\"30\" font-size=\"17\">{}</text>\n",
            "<text id=\"subtitle\" x=\"50%\" y=\"55\" font-size=\"12\">{}</text>\n",
            "<text id=\"empty\" x=\"600\" y=\"90\" font-size=\"14\">Nothing to show: {}</text>\n",
            "</svg>\n"
        ),
        escaped(&xml_text(&options.title)),
        escaped(&subtitle(options, 0.0, 0)),
        escaped(&xml_text(reason)),
    );
    out.write_all(&in_two_lines(picture.into_bytes()))?;
    out.flush()
}

#[cfg(test)]
mod tests;
