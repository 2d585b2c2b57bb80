use super::*;

fn one(text: &str) -> Result<Point, LineError> {
    let mut all = parse(text);
    let first = all.next().expect("one line");
    assert!(all.next().is_none());
    first
}

fn problem(text: &str) -> (u32, u32, Problem) {
    let error = one(text).expect_err(text);
    (error.line, error.column, error.problem)
}

/// A small generator, so that a failure can be repeated.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

#[test]
fn a_point_is_written_and_read_back() {
    let point = Point::new("s7mpa_process", UnixNs(1_700_000_000_000_000_001))
        .tag("host", "a b")
        .tag("comm", "x,y=z")
        .tag("cgroup", "/system.slice/dev-disk\\x2dby.service")
        .tag("empty", "")
        .field("cpu_ns", 12_u64)
        .field("share", 0.1)
        .field("big", 1e300)
        .field("min", i64::MIN)
        .field("up", true)
        .field("cmd line", "say \"hi\" \\ bye");
    let text = encode(std::slice::from_ref(&point));
    assert_eq!(
        text,
        "s7mpa_process,host=a\\ b,comm=x\\,y\\=z,cgroup=/system.slice/dev-disk\\x2dby.service cpu_ns=12i,share=0.1,\
         big=1e300,min=-9223372036854775808i,up=true,cmd\\ line=\"say \\\"hi\\\" \\\\ bye\" 1700000000000000001\n"
    );
    let mut expected = point;
    expected.tags.retain(|(_, value)| !value.is_empty());
    assert_eq!(one(&text), Ok(expected));
}

#[test]
fn what_cannot_be_written_is_counted() {
    let time = UnixNs(5);
    let points = [
        Point::new("m", time).field("a", f64::NAN).field("b", 1_i64),
        Point::new("m", time).field("a", f64::INFINITY),
        Point::new("", time).field("a", 1_i64),
        Point::new("m", time),
        Point::new("m", UnixNs(u64::MAX)).field("a", 1_i64),
    ];
    let mut out = String::new();
    let skipped = encode_into(&mut out, &points);
    assert_eq!(out, "m b=1i 5\n");
    assert_eq!(skipped, Skipped { fields: 2, points: 4 });
}

#[test]
fn names_that_the_protocol_cannot_carry_are_replaced_and_stay_one_line() {
    let point = Point::new("#m", UnixNs(5))
        .tag("comm", "a\nb")
        .tag("dir", "C:\\")
        .tag("odd", "x\\ y")
        .field("text", "two\nlines\r");
    let text = encode(&[point]);
    assert_eq!(text, "?m,comm=a?b,dir=C:/,odd=x/\\ y text=\"two\\\\nlines?\" 5\n");
    assert_eq!(one(&text).expect("well-formed").tag_value("odd"), Some("x/ y"));
}

#[test]
fn errors_name_line_and_column() {
    use Problem as P;
    assert_eq!(problem(",a=b c=1i 5"), (1, 1, P::NoMeasurement));
    assert_eq!(problem("m"), (1, 2, P::NoFields));
    assert_eq!(problem("m "), (1, 3, P::NoFields));
    assert_eq!(problem("m,a c=1i 5"), (1, 4, P::BadTag));
    assert_eq!(problem("m,a= c=1i 5"), (1, 5, P::BadTag));
    assert_eq!(problem("m,a=b=c d=1i 5"), (1, 6, P::BadTag));
    assert_eq!(problem("m c 5"), (1, 4, P::BadField));
    assert_eq!(problem("m c= 5"), (1, 5, P::BadField));
    assert_eq!(problem("m c=1u 5"), (1, 5, P::Unsigned));
    assert_eq!(problem("m c=9223372036854775808i 5"), (1, 5, P::IntRange));
    assert_eq!(problem("m c=1.5i 5"), (1, 5, P::BadValue));
    assert_eq!(problem("m c=NaN 5"), (1, 5, P::NotFinite));
    assert_eq!(problem("m c=-inf 5"), (1, 5, P::NotFinite));
    assert_eq!(problem("m c=1e999 5"), (1, 5, P::NotFinite));
    assert_eq!(problem("m c=0x10 5"), (1, 5, P::BadValue));
    assert_eq!(problem("m c=\"a 5"), (1, 5, P::OpenString));
    assert_eq!(problem("m c=\"a\"b 5"), (1, 8, P::BadValue));
    assert_eq!(problem("m c=1i"), (1, 7, P::NoTime));
    assert_eq!(problem("m c=1i -5"), (1, 8, P::BadTime));
    assert_eq!(problem("m c=1i 99999999999999999999"), (1, 8, P::BadTime));
    assert_eq!(problem("m c=1i 5 6"), (1, 9, P::Trailing));
    assert_eq!(problem("m,ä=ü c=1i,d 5"), (1, 13, P::BadField));
    // For VictoriaMetrics the name ends before this comma: no tag may follow that we do not see.
    assert_eq!(problem("m,a=b\\\\,host=x c=1i 5"), (1, 13, P::BadTag));
    assert_eq!(problem("m\u{1}"), (1, 2, P::Control));
    assert_eq!(problem(&"m".repeat(MAX_LINE_BYTES + 1)), (1, 1, P::TooLong));
    let error = text(b"m a=1i 5\nm b\xff=1i 5\n").expect_err("not text");
    assert_eq!((error.line, error.column, error.problem), (2, 4, P::NotUtf8));
    assert_eq!(error.to_string(), "line 2, column 4: not UTF-8");
}

#[test]
fn a_bad_line_does_not_stop_the_next() {
    let all: Vec<_> = parse("# comment\n\nm a=1i 5\r\nbad\nm a=2i 6").collect();
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].as_ref().expect("first").time, UnixNs(5));
    assert_eq!(all[1].as_ref().expect_err("second").line, 4);
    assert_eq!(all[2].as_ref().expect("third").time, UnixNs(6));
}

#[test]
fn limits_on_tags_and_fields_hold() {
    let tags = (0..=MAX_TAGS).fold(String::from("m"), |s, i| s + &format!(",t{i}=1"));
    assert_eq!(one(&(tags + " a=1i 5")).expect_err("tags").problem, Problem::TooManyTags);
    let fields = (0..=MAX_FIELDS).map(|i| format!("f{i}=1i")).collect::<Vec<_>>().join(",");
    assert_eq!(one(&format!("m {fields} 5")).expect_err("fields").problem, Problem::TooManyFields);
}

#[test]
fn whatever_the_writer_makes_the_parser_reads() {
    let alphabet: Vec<char> = "ab ,=\\\"\n\r\t#\u{7f}\u{0}ü😀\u{85}iu.".chars().collect();
    let mut rng = Rng(7);
    for round in 0..20_000 {
        let mut word = || {
            let len = 1 + rng.below(6);
            (0..len).map(|_| alphabet[rng.below(alphabet.len() as u64) as usize]).collect::<String>()
        };
        let mut point = Point::new(word(), UnixNs(round));
        for _ in 0..2 {
            point = point.tag(word(), word());
        }
        point = point.field(word(), word()).field(word(), true);
        let number = f64::from_bits(rng.next());
        point = point.field("float", number).field("int", rng.next() as i64);
        let text = encode(std::slice::from_ref(&point));
        let back = one(&text).unwrap_or_else(|e| panic!("{e}: {text:?}"));
        assert_eq!(back.tags.len(), 2, "{text:?}");
        assert_eq!(back.field_value("int"), point.field_value("int"));
        if number.is_finite() {
            assert_eq!(back.field_value("float"), Some(&FieldValue::Float(number)));
        }
        // What was replaced once is stable: writing what was read gives the same text.
        assert_eq!(encode(&[back]).replace("\\\\\\\\", "\\\\"), text.replace("\\\\\\\\", "\\\\"));
    }
}

#[test]
fn garbage_never_panics() {
    let mut rng = Rng(99);
    let base = b"m,a=b,c=d e=1i,f=\"g\\\"h\",i=true 1700000000\n";
    for _ in 0..50_000 {
        let mut bytes = base.repeat(1 + rng.below(2) as usize);
        for _ in 0..=rng.below(6) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(3) {
                0 => bytes[at] = rng.next() as u8,
                1 => bytes[at] = b",= \\\"\n"[rng.below(6) as usize],
                _ => bytes.truncate(at + 1),
            }
        }
        match text(&bytes) {
            Ok(text) => parse(text).for_each(drop),
            Err(error) => assert_eq!(error.problem, Problem::NotUtf8),
        }
    }
    parse(&"\u{0}".repeat(1 << 20)).for_each(drop);
    parse(&"\\".repeat(1 << 20)).for_each(drop);
}
