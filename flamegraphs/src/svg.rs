//! Folded stacks → one searchable, zoomable SVG. Pure; the only file that names inferno.

use std::collections::HashSet;
use std::io::{self, Write};

use inferno::flamegraph::{self, Palette, color::Color, color::PaletteMap};

use crate::fold::Folded;

/// Frames drawn at most: browsers get slow beyond some 10,000 groups, and a frame is ~350 bytes of SVG.
/// Narrower frames than fit are left out, and the subtitle says so.
pub const MAX_DRAWN: usize = 10_000;

/// Weights that add up to more are scaled down: inferno keeps positions in f64, exact to 2^53.
const MAX_TOTAL: u128 = 1 << 52;

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
        }
    }
}

/// Writes `folded` as SVG. An empty profile gives an SVG that says so, and why if the options know.
pub fn write(folded: &Folded, options: &SvgOptions, mut out: impl Write) -> io::Result<()> {
    let total: u128 = folded.stacks.iter().map(|(_, weight)| u128::from(*weight)).sum();
    if total == 0 {
        return write_empty(options, out);
    }
    let shift = (128 - (total / MAX_TOTAL).leading_zeros()).min(63);
    let mut lines = Vec::with_capacity(folded.stacks.len());
    for (stack, weight) in &folded.stacks {
        let weight = weight >> shift;
        if weight > 0 {
            lines.push(format!("{stack} {weight}"));
        }
    }

    let mut palette = palette(folded);
    let min_width = min_width_pct(folded, total, options.min_width_pct);
    let mut subtitle = xml_text(options.subtitle.as_deref().unwrap_or_default());
    if min_width > options.min_width_pct {
        let sep = if subtitle.is_empty() { "" } else { "; " };
        subtitle.push_str(&format!("{sep}frames under {min_width:.2}% of the width not drawn"));
    }
    let mut inferno = flamegraph::Options::default();
    inferno.title = xml_text(&options.title);
    inferno.subtitle = (!subtitle.is_empty()).then_some(subtitle);
    inferno.count_name = xml_text(&options.count_name);
    inferno.min_width = min_width;
    inferno.factor = 2f64.powi(shift as i32);
    inferno.deterministic = true;
    inferno.colors = Palette::default();
    inferno.palette_map = Some(&mut palette);
    if options.icicle {
        inferno.direction = flamegraph::Direction::Inverted;
    }
    // The stacks are in frame-wise order, which inferno would undo by sorting bytes; a "flame chart"
    // is the one mode that keeps the order it is given (reversed).
    inferno.flame_chart = true;
    flamegraph::from_lines(&mut inferno, lines.iter().rev().map(String::as_str), &mut out)
}

/// The width under which frames are left out so that at most [`MAX_DRAWN`] are drawn.
fn min_width_pct(folded: &Folded, total: u128, wanted: f64) -> f64 {
    let mut widths = frame_weights(folded);
    if widths.len() <= MAX_DRAWN {
        return wanted;
    }
    let (_, cut, _) = widths.select_nth_unstable_by(MAX_DRAWN, |a, b| b.cmp(a));
    // Just above the widest frame that must go: equals go together.
    let pct = (*cut as f64 + 0.5) * 100.0 / total as f64;
    pct.max(wanted)
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
fn palette(folded: &Folded) -> PaletteMap {
    let mut palette = PaletteMap::default();
    palette.insert("", rgb(0xd8, 0xd8, 0xd8));
    let mut seen = HashSet::new();
    for frame in folded.stacks.iter().flat_map(|(stack, _)| stack.split(';')) {
        if seen.insert(frame) {
            palette.insert(frame, colour(frame));
        }
    }
    palette
}

const fn rgb(r: u8, g: u8, b: u8) -> Color {
    Color { r, g, b }
}

/// Kernel orange, run-time compiled green, unnamed grey, C++ and Rust yellow, other user code red; the
/// shade comes from the name.
fn colour(frame: &str) -> Color {
    // FNV-1a: stable across runs and machines, which std's hasher is not.
    let hash = frame
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let shade = ((hash >> 32) % 56) as u8;
    if frame.ends_with("_[k]") {
        rgb(220 + shade / 2, 130 + shade / 2, 20 + shade)
    } else if frame.ends_with("_[j]") {
        rgb(80 + shade, 190 + shade, 80 + shade)
    } else if frame.starts_with('[') {
        rgb(170 + shade, 170 + shade, 170 + shade)
    } else if frame.contains("::") {
        rgb(190 + shade, 190 + shade, 60 + shade)
    } else {
        rgb(200 + shade, 70 + shade, 60 + shade)
    }
}

/// Text without the characters that XML 1.0 forbids even when escaped.
fn xml_text(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            '\u{fffe}' | '\u{ffff}' => '?',
            char if char.is_whitespace() => ' ',
            char if char.is_control() => '?',
            char => char,
        })
        .collect()
}

fn escaped(text: &str) -> String {
    xml_text(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn write_empty(options: &SvgOptions, mut out: impl Write) -> io::Result<()> {
    let reason = options.empty_reason.as_deref().unwrap_or("no sample was taken in the window");
    write!(
        out,
        concat!(
            "<?xml version=\"1.0\" standalone=\"no\"?>\n",
            "<svg version=\"1.1\" width=\"1200\" height=\"120\" viewBox=\"0 0 1200 120\" ",
            "xmlns=\"http://www.w3.org/2000/svg\" font-family=\"monospace\" text-anchor=\"middle\">\n",
            "<rect width=\"100%\" height=\"100%\" fill=\"#f8f8f8\"/>\n",
            "<text id=\"title\" x=\"600\" y=\"30\" font-size=\"17\">{}</text>\n",
            "<text id=\"subtitle\" x=\"600\" y=\"55\" font-size=\"12\">{}</text>\n",
            "<text id=\"empty\" x=\"600\" y=\"90\" font-size=\"14\">Nothing to show: {}</text>\n",
            "</svg>\n"
        ),
        escaped(&options.title),
        escaped(options.subtitle.as_deref().unwrap_or_default()),
        escaped(reason),
    )?;
    out.flush()
}
