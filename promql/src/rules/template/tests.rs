use super::*;
use crate::reader::Sample;

fn labels() -> Labels {
    crate::rules::labels(
        [("comm", "make"), ("instance", "web-1:9100")].map(|(a, b)| (a.to_owned(), b.to_owned())),
    )
}

fn answer(query: &str) -> Result<Vec<Element>, String> {
    let element = |comm: &str, value| Element {
        labels: crate::rules::labels([("comm".to_owned(), comm.to_owned())]),
        sample: Sample { at_ms: 0, value },
    };
    match query {
        "top" => Ok(vec![element("ld", 2.0), element("cc", 1.5)]),
        "nothing" => Ok(Vec::new()),
        other => Err(format!("no {other}")),
    }
}

fn filled(template: &str, value: f64) -> String {
    let (labels, nothing) = (labels(), Labels::default());
    let subject = Subject { ask: Some(&answer), ..Subject::new(value, &labels, &nothing) };
    Template::parse(template).expect(template).fill(&subject)
}

#[test]
fn values_and_labels_take_their_places() {
    assert_eq!(filled("{{ $labels.comm }} lost {{ $value }} s", 1.5), "make lost 1.5 s");
    assert_eq!(filled("{{$labels.nothing}}.", 0.0), ".");
    assert_eq!(
        filled("a {{- $value -}} b", 2.0),
        "a {{- $value -}} b".replace("{{- $value -}}", "2").replace(' ', "")
    );
    assert_eq!(filled("a {{- $value }}", -2.0), "a-2");
    assert_eq!(filled("{{ .Labels.comm }} {{ .Value }}{{/* no }} more */}}", 2.0), "make 2");
    assert_eq!(filled("{{ $labels }}", 0.0), "map[comm:make instance:web-1:9100]");
}

#[test]
fn numbers_are_written_for_people() {
    for (template, value, text) in [
        ("{{ $value | humanize }}", 1_234_567.0, "1.235M"),
        ("{{ humanize $value }}", 0.001_234, "1.234m"),
        ("{{ $value | humanize1024 }}", 2048.0, "2ki"),
        ("{{ $value | humanizePercentage }}", 0.123_456, "12.35%"),
        ("{{ $value | humanizeDuration }}", 3_725.0, "1h 2m 5s"),
        ("{{ $value | humanizeDuration }}", 0.0015, "1.5ms"),
        ("{{ $value | humanizeTimestamp }}", 1_435_065_584.128, "2015-06-23 13:19:44.128 +0000 UTC"),
        ("{{ printf \"%.2f\" $value }}", 2.345_6, "2.35"),
        ("{{ $value | printf \"%.0f%%\" }}", 99.6, "100%"),
        ("{{ printf \"%s %5.1f|%-4v|%03d\" $labels.comm $value 7 5 }}", 2.25, "make   2.2|7   |005"),
        ("{{ printf \"%d\" $value }}", 2.5, "%!d(float64=2.5)"),
        ("{{ $labels.comm | toUpper }}", 0.0, "MAKE"),
        ("{{ $value }}", f64::INFINITY, "+Inf"),
        ("{{ $value }}", 1e21, "1e+21"),
        ("{{ $value }}", 1e20, "1e+20"),
    ] {
        assert_eq!(filled(template, value), text, "{template}");
    }
}

#[test]
fn conditions_and_queries_are_followed() {
    for (template, text) in [
        (
            "{{ if gt $value 2.0 }}much{{ else if eq $labels.comm \"make\" }}make{{ else }}little{{ end }}",
            "make",
        ),
        ("{{ with query \"top\" }}{{ . | first | value | printf \"%.1f\" }}{{ end }}", "2.0"),
        ("{{ with query \"nothing\" }}x{{ else }}none{{ end }}", "none"),
        (
            "{{ range query \"top\" | sortByLabel \"comm\" }}{{ .Labels.comm }}={{ .Value }} {{ end }}",
            "cc=1.5 ld=2 ",
        ),
        ("{{ range $at, $one := query \"top\" }}{{ $at }}{{ $one.Labels.comm }}{{ end }}", "0ld1cc"),
        (
            "{{ $x := query \"top\" | first }}{{ label \"comm\" $x }} {{ (index (query \"top\") 1).Value }}",
            "ld 1.5",
        ),
        (
            "{{ reReplaceAll \"(.*):.*\" \"$1\" $labels.instance }} {{ stripPort $labels.instance }}",
            "web-1 web-1",
        ),
        ("{{ and $labels.comm (not $labels.nothing) }} {{ or $labels.nothing \"x\" }}", "true x"),
        (
            "{{ match \"^ma\" $labels.comm }} {{ title \"two words\" }} {{ len $labels.comm }}",
            "true Two Words 4",
        ),
        ("{{ query \"wrong\" }}", "<error expanding template: no wrong>"),
        (
            "{{ query \"nothing\" | first }}",
            "<error expanding template: first() called on vector with no elements>",
        ),
    ] {
        assert_eq!(filled(template, 1.0), text, "{template}");
    }
}

#[test]
fn what_is_not_supported_is_an_error() {
    for template in [
        "{{ if $value }}x",
        "{{ end }}",
        "{{ else }}",
        "{{ $value",
        "{{ }}",
        "{{ $value | }}",
        "{{ $value | unknown }}",
        "{{ template \"x\" }}",
        "{{ define \"x\" }}{{ end }}",
        "{{ (( $value }}",
        "{{ \"open }}",
        "{{ if 1 }}{{ else }}{{ else }}{{ end }}",
    ] {
        assert!(Template::parse(template).is_err(), "{template}");
    }
    assert!(Template::parse(&"{{ if 1 }}".repeat(100_000)).is_err());
    assert!(Template::parse(&format!("{{{{ {} }}}}", "(".repeat(100_000))).is_err());
}

#[test]
fn no_text_grows_without_end() {
    let range = "{{ range query \"top\" }}";
    let deep = format!("{}x{}", range.repeat(12), "{{ end }}".repeat(12));
    assert!(filled(&deep, 0.0).starts_with("<error expanding template: "), "queries and steps have a bound");
}
