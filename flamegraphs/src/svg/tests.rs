use super::*;
use profile::NameCoverage;
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
            .all(|char| matches!(char, '\t' | '\n' | '\r' | ' '..) && char < '\u{fffe}' || char > '\u{ffff}')
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
                assert!(["amp", "lt", "gt", "apos", "quot"].iter().any(|name| name.as_bytes() == &*entity));
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
    let kinds = ["k_[k]", "jit_[j]", "py::f_[j]", "in_[i]", "[x+0x1]", "a::b", "main", "w_[w]"]
        .map(|name| colour(name, Theme::Ran));
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
    let svg = render(&folded(&[("a;foo", 1), ("a;foo;bar", 1), ("a;foo.part.0", 1)]), &SvgOptions::default());
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
    let svg =
        render(&folded(&[("a;b", u64::MAX), ("a;c", u64::MAX), ("a;d", u64::MAX)]), &SvgOptions::default());
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
    let options = SvgOptions { subtitle: Some("é".repeat(800)), ..SvgOptions::default() };
    let text = subtitle(&options, 0.1, 7);
    assert_eq!(text.lines().map(|line| line.chars().count()).collect::<Vec<_>>(), [MAX_SUBTITLE; 2]);
    assert!(text.ends_with("é..; 7 frames under 0.10% of the width not drawn"), "{text}");
    assert_eq!(subtitle(&SvgOptions::default(), 0.1, 0), "");
}

#[test]
fn a_subtitle_of_two_lines_is_broken_between_two_things() {
    let subtitle = format!("{}, 12 lost; {}", "a".repeat(MAX_SUBTITLE - 12), "named".repeat(5));
    let options = SvgOptions { subtitle: Some(subtitle), ..SvgOptions::default() };
    for picture in [render(&folded(&[("a", 1)]), &options), render(&Folded::default(), &options)] {
        assert!(picture.contains("aaa, 12 lost;</tspan><tspan x=\"50%\" dy=\"14\">named"), "{picture}");
        assert!(picture.contains("named</tspan></text>"), "{picture}");
    }
}

#[test]
fn frame_weights_are_those_of_the_drawn_frames() {
    let mut weights = frame_weights(&folded(&[("a", 1), ("a;b", 2), ("a;b;c", 4), ("a;d", 8), ("e;b", 16)]));
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

#[test]
fn a_difference_is_red_where_more_and_blue_where_less() {
    let before = folded(&[("a;gone", 5), ("a;less", 6), ("a;more", 2), ("a;same", 7)]);
    let after = folded(&[("a;less", 1), ("a;more", 12), ("a;same", 7)]);
    let mut out = Vec::new();
    write_difference(&Difference::new(&before, &after), &SvgOptions::default(), &mut out).unwrap();
    let svg = String::from_utf8(out).unwrap();
    check(&svg);
    let fill = |name: &str| -> Vec<u8> {
        let frame = svg.split(&format!("<title>{name} (")).nth(1).unwrap();
        let rgb = frame.split("rgb(").nth(1).unwrap().split(')').next().unwrap();
        rgb.split(',').map(|value| value.parse().unwrap()).collect()
    };
    assert!(fill("more")[0] == 255 && fill("more")[2] < 255);
    assert!(fill("less")[2] == 255 && fill("less")[0] < 255);
    assert_eq!(fill("same"), [250, 250, 250]);
    assert!(svg.contains("<title>less (1 samples, 5.00%; -25.00%)</title>"), "{svg}");
    assert!(!svg.contains("gone"));
    let mut out = Vec::new();
    write_difference(&Difference::default(), &SvgOptions::default(), &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("Nothing to show"));
}
