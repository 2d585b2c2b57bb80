//! Folded stacks → one searchable, zoomable SVG. Pure; the only file that names inferno.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, Write};

use inferno::flamegraph::{self, Palette, color::Color, color::PaletteMap};

use crate::fold::Folded;

/// Frames drawn at most: browsers get slow beyond some 10,000 groups, and a frame is ~350 bytes of SVG.
/// Narrower frames than fit are left out, and the subtitle says so.
pub const MAX_DRAWN: usize = 10_000;
/// Frames this wide (in per cent; about a pixel) are drawn, however many they are.
const VISIBLE_PCT: f64 = 0.1;

/// Characters of the subtitle: 1,200 pixels of 12-pixel monospace.
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

    let mut palette = palette(folded, options);
    let (min_width, hidden) = min_width_pct(folded, total, options.min_width_pct);
    let subtitle = subtitle(options, min_width, hidden);
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

/// The second line, with a note on what is not drawn, cut to what fits: it is centred, so a longer one would
/// lose both its ends.
fn subtitle(options: &SvgOptions, min_width: f64, hidden: usize) -> String {
    let mut note = String::new();
    if hidden > 0 {
        let _ = write!(note, "{hidden} frames under {min_width:.2}% of the width not drawn");
    }
    let mut text = xml_text(options.subtitle.as_deref().unwrap_or_default());
    if !text.is_empty() && !note.is_empty() {
        note.insert_str(0, "; ");
    }
    let room = MAX_SUBTITLE.saturating_sub(note.len());
    if text.chars().count() > room {
        text = text.chars().take(room.saturating_sub(2)).collect();
        text.push_str("..");
    }
    text + &note
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

/// Kernel orange, run-time compiled green, unnamed grey, C++ and Rust yellow, other user code red; who woke aqua; in
/// the theme of waiting pale blue, the kernel's paler. The shade comes from the name.
fn colour(frame: &str, theme: Theme) -> Color {
    // FNV-1a: stable across runs and machines, which std's hasher is not.
    let hash = frame
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let shade = ((hash >> 32) % 56) as u8;
    if frame.ends_with("_[w]") {
        return rgb(90 + shade / 2, 190 + shade / 2, 200 + shade / 2);
    }
    match theme {
        Theme::Ran if frame.ends_with("_[k]") => rgb(220 + shade / 2, 130 + shade / 2, 20 + shade),
        Theme::Ran if frame.ends_with("_[j]") => rgb(80 + shade, 190 + shade, 80 + shade),
        _ if frame.starts_with('[') => rgb(170 + shade, 170 + shade, 170 + shade),
        Theme::Ran if frame.contains("::") => rgb(190 + shade, 190 + shade, 60 + shade),
        Theme::Ran => rgb(200 + shade, 70 + shade, 60 + shade),
        Theme::Waited if frame.ends_with("_[k]") => rgb(196 + shade / 3, 206 + shade / 3, 226 + shade / 3),
        Theme::Waited => rgb(150 + shade / 2, 176 + shade / 2, 214 + shade / 2),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::NameCoverage;
    use quick_xml::Reader;
    use quick_xml::events::Event;

    fn folded(stacks: &[(&str, u64)]) -> Folded {
        let stacks = stacks.iter().map(|(stack, weight)| ((*stack).to_owned(), *weight)).collect();
        Folded { stacks, names: NameCoverage::default() }
    }

    fn render(folded: &Folded, options: &SvgOptions) -> String {
        let mut out = Vec::new();
        write(folded, options, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        check(&text);
        text
    }

    /// Well-formed: tags match, entities are known, no forbidden character, one root.
    fn check(text: &str) {
        assert!(
            text.chars()
                .all(|char| matches!(char, '\t' | '\n' | '\r' | ' '..) && char < '\u{fffe}'
                    || char > '\u{ffff}')
        );
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_comments = true;
        let (mut depth, mut roots) = (0_u32, 0_u32);
        loop {
            match reader.read_event().unwrap() {
                Event::Start(tag) => {
                    roots += u32::from(depth == 0);
                    depth += 1;
                    for attribute in tag.attributes() {
                        attribute.unwrap();
                    }
                }
                Event::End(_) => depth -= 1,
                Event::Text(text) => assert!(!text.contains(&b'<')),
                Event::GeneralRef(entity) => {
                    assert!(
                        ["amp", "lt", "gt", "apos", "quot"].iter().any(|name| name.as_bytes() == &*entity)
                    );
                }
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!((depth, roots), (0, 1));
    }

    #[test]
    fn title_subtitle_and_frames_are_in_the_svg_and_it_can_be_searched() {
        let options = SvgOptions {
            title: "app <1> & \"co\"".to_owned(),
            subtitle: Some("expected 970, captured 968, lost 2; symbolized 99.0%".to_owned()),
            ..SvgOptions::default()
        };
        let svg = render(&folded(&[("app;main;work", 7), ("app;main;work;sys_read_[k]", 3)]), &options);
        assert!(svg.contains("app &lt;1&gt; &amp;"));
        assert!(svg.contains("expected 970, captured 968, lost 2; symbolized 99.0%"));
        assert!(svg.contains("<title>work (10 samples, 100.00%)</title>"));
        assert!(svg.contains("<title>sys_read (3 samples, 30.00%)</title>"));
        assert!(svg.contains("function search("));
    }

    #[test]
    fn the_same_profile_gives_the_same_bytes_and_kinds_have_colours() {
        let profile = folded(&[
            ("a;main;core::fmt::write", 2),
            ("a;main;k_[k]", 1),
            ("a;main;jit_[j]", 1),
            ("a;[x+0x1]", 1),
        ]);
        assert_eq!(render(&profile, &SvgOptions::default()), render(&profile, &SvgOptions::default()));
        let kinds =
            ["k_[k]", "jit_[j]", "[x+0x1]", "a::b", "main", "w_[w]"].map(|name| colour(name, Theme::Ran));
        for (i, kind) in kinds.iter().enumerate() {
            assert!(kinds[i + 1..].iter().all(|other| other != kind));
        }
    }

    #[test]
    fn a_reason_has_its_own_colour() {
        let options = SvgOptions {
            theme: Theme::Waited,
            tints: vec![("[fsync]".to_owned(), [1, 2, 3])],
            count_name: "ns".to_owned(),
            ..SvgOptions::default()
        };
        let svg = render(&folded(&[("a;main;k_[k];[fsync]", 2_000), ("a;main;k_[k];[swap]", 1)]), &options);
        assert_eq!(svg.matches("rgb(1,2,3)").count(), 1);
        assert!(svg.contains("<title>[fsync] (2,000 ns, "), "{svg}");
    }

    #[test]
    fn a_frame_is_drawn_once_though_a_namesake_sorts_into_it() {
        let svg =
            render(&folded(&[("a;foo", 1), ("a;foo;bar", 1), ("a;foo.part.0", 1)]), &SvgOptions::default());
        assert_eq!(svg.matches("<title>foo (").count(), 1);
        assert!(svg.contains("<title>foo (2 samples"));
    }

    #[test]
    fn an_empty_profile_says_why() {
        let svg = render(&Folded::default(), &SvgOptions::default());
        assert!(svg.contains("no sample was taken"));
        let options = SvgOptions {
            empty_reason: Some("process 42 slept for all of the 10 s <idle>".to_owned()),
            ..SvgOptions::default()
        };
        let svg = render(&folded(&[("a;b", 0)]), &options);
        assert!(svg.contains("slept for all of the 10 s &lt;idle&gt;"));
    }

    #[test]
    fn huge_weights_are_scaled_and_still_shown_right() {
        let svg = render(
            &folded(&[("a;b", u64::MAX), ("a;c", u64::MAX), ("a;d", u64::MAX)]),
            &SvgOptions::default(),
        );
        assert!(svg.contains("33.33%"));
        let svg = render(&folded(&[("a;b", 1 << 60)]), &SvgOptions::default());
        assert!(svg.contains("1,152,921,504,606,846,976"), "factor scales back");
    }

    #[test]
    fn a_big_graph_is_pruned_and_says_so() {
        let stacks: Vec<_> = (0..60_000).map(|i| (format!("a;f{:03};g{i:05}", i / 100), 1)).collect();
        let profile = Folded { stacks, names: NameCoverage::default() };
        let svg = render(&profile, &SvgOptions::default());
        let drawn = svg.matches("<title>").count();
        assert!(drawn <= MAX_DRAWN + 1, "{drawn} frames");
        assert!(svg.contains("% of the width not drawn"));
        // Few samples but deep: nothing that can be seen is left out.
        let stacks: Vec<_> = (0..400)
            .map(|i| {
                (format!("s{i:03};") + &(0..40).map(|j| format!("f{i}x{j}")).collect::<Vec<_>>().join(";"), 1)
            })
            .collect();
        let svg = render(&Folded { stacks, names: NameCoverage::default() }, &SvgOptions::default());
        assert_eq!(svg.matches("<title>").count(), 400 * 41 + 1);
        assert!(!svg.contains("not drawn"));
    }

    #[test]
    fn a_long_subtitle_is_cut_at_its_end() {
        let options = SvgOptions { subtitle: Some("é".repeat(400)), ..SvgOptions::default() };
        let text = subtitle(&options, 0.1, 7);
        assert_eq!(text.chars().count(), MAX_SUBTITLE);
        assert!(text.ends_with("é..; 7 frames under 0.10% of the width not drawn"), "{text}");
        assert_eq!(subtitle(&SvgOptions::default(), 0.1, 0), "");
    }

    #[test]
    fn frame_weights_are_those_of_the_drawn_frames() {
        let mut weights =
            frame_weights(&folded(&[("a", 1), ("a;b", 2), ("a;b;c", 4), ("a;d", 8), ("e;b", 16)]));
        weights.sort_unstable();
        assert_eq!(weights, [4, 6, 8, 15, 16, 16]);
    }

    #[test]
    fn hostile_text_stays_well_formed() {
        let text = "</text><script>alert(1)</script>&amp;]]>--\u{1}\u{fffe}\u{0}";
        let options = SvgOptions {
            title: text.to_owned(),
            subtitle: Some(text.to_owned()),
            count_name: text.to_owned(),
            empty_reason: Some(text.to_owned()),
            ..SvgOptions::default()
        };
        let frame = text.replace(|char: char| char.is_control() || char == '\u{fffe}', "?");
        let svg = render(&folded(&[(&format!("{frame};{frame}"), 1)]), &options);
        assert!(!svg.contains("<script>alert"));
        assert!(!render(&Folded::default(), &options).contains("<script>"));
    }
}
