//! A page that needs nothing else: a heat map of the samples by second and by offset in the second (after
//! `FlameScope`), and a flame graph of whatever part of it is selected, to zoom, search and regroup in.
//!
//! ```
//! use flamegraphs::{About, html};
//! use profile::Timeline;
//!
//! let mut page = Vec::new();
//! html::write(&Timeline::default(), &About::default(), &mut page)?;
//! assert!(page.starts_with(b"<!doctype html>"));
//! # Ok::<(), std::io::Error>(())
//! ```

use std::io::{self, Write};

use agent_common::text::{clean_json, cleaned};
use agent_common::units::MonoNs;
use profile::{Kind, Timeline};
use serde::Serialize;

use crate::format::{About, Unit};

/// What the page may do: run its own script and show itself. It loads nothing and sends nothing.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// What the script reads. Indices as in [`Timeline`]; times are ns from the first sample, -1 where there is none.
#[derive(Serialize)]
struct Data<'a> {
    kinds: [&'static str; Kind::ALL.len()],
    unit: &'static str,
    duration: u64,
    /// Name, kind, module, file and line.
    frames: Vec<(&'a str, usize, &'a str, String)>,
    stacks: &'a [Box<[u32]>],
    /// Process, thread, name, group.
    threads: Vec<(u32, u32, &'a str, &'a str, &'a str)>,
    /// Columns of the samples.
    at: Vec<i64>,
    thread: Vec<u32>,
    stack: Vec<u32>,
    weight: Vec<u64>,
}

/// Writes `timeline` as a page. Names are other people's words: they reach the page as data, never as markup.
pub fn write(timeline: &Timeline, about: &About, mut out: impl Write) -> io::Result<()> {
    let data = serde_json::to_string(&data(timeline, about))?;
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <p class=\"dim\">{coverage}</p>\n{body}\
         <p class=\"dim\">made by {producer}</p>\n\
         <script type=\"application/json\" id=\"data\">{data}</script>\n<script>\n{script}</script>\n</body>\n</html>\n",
        title = text(&about.title),
        coverage = text(about.coverage.as_deref().unwrap_or_default()),
        producer = text(&about.producer),
        style = include_str!("html/page.css"),
        body = include_str!("html/body.html"),
        script = include_str!("html/page.js"),
        // A script element ends at `</`, whatever is around it.
        data = clean_json(&data).replace('<', "\\u003c"),
    )?;
    out.flush()
}

fn data<'a>(timeline: &'a Timeline, about: &About) -> Data<'a> {
    let start = timeline.span().map_or(MonoNs(0), |(start, _)| start);
    let frames = timeline.frames.iter().map(|frame| {
        let kind = Kind::ALL.iter().position(|kind| *kind == frame.kind).unwrap_or_default();
        let source = frame.source.as_ref().map(|source| match source.line {
            0 => source.file.to_string(),
            line => format!("{}:{line}", source.file),
        });
        (&*frame.name, kind, frame.module.as_deref().unwrap_or_default(), source.unwrap_or_default())
    });
    let threads = timeline.threads.iter().map(|thread| {
        let group = thread.group.as_deref().unwrap_or_default();
        (thread.tgid, thread.tid, &*thread.comm, group, &**thread.process_name())
    });
    let points = &timeline.points;
    Data {
        kinds: Kind::ALL.map(Kind::as_str),
        unit: match about.unit {
            Unit::Samples => "samples",
            Unit::Nanoseconds => "ns",
        },
        duration: about.duration_ns,
        frames: frames.collect(),
        stacks: &timeline.stacks,
        threads: threads.collect(),
        at: points
            .iter()
            .map(|point| {
                point.at.0.checked_sub(start.0).filter(|_| point.at > MonoNs(0)).map_or(-1, |at| at as i64)
            })
            .collect(),
        thread: points.iter().map(|point| point.thread).collect(),
        stack: points.iter().map(|point| point.stack).collect(),
        weight: points.iter().map(|point| point.weight).collect(),
    }
}

/// Foreign text as it may stand in an element.
fn text(foreign: &str) -> String {
    cleaned(foreign).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::testing::example;
    use serde_json::Value;

    fn page(timeline: &Timeline, about: &About) -> String {
        let mut out = Vec::new();
        write(timeline, about, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn embedded(page: &str) -> Value {
        let from = page.split("id=\"data\">").nth(1).unwrap();
        serde_json::from_str(from.split("</script>").next().unwrap()).unwrap()
    }

    #[test]
    fn the_script_gets_every_sample_as_it_was() {
        let timeline = example();
        let data = embedded(&page(&timeline, &About::default()));
        for (at, point) in timeline.points.iter().enumerate() {
            let stack = &data["stacks"][data["stack"][at].as_u64().unwrap() as usize];
            let names: Vec<_> = stack
                .as_array()
                .unwrap()
                .iter()
                .map(|id| data["frames"][id.as_u64().unwrap() as usize][0].as_str().unwrap())
                .collect();
            assert_eq!(names, timeline.stack_of(point).map(|frame| &*frame.name).collect::<Vec<_>>());
            assert_eq!(data["at"][at], point.at.0 - 1_000_000_000);
            assert_eq!(data["weight"][at], point.weight);
            let thread = &timeline.threads[point.thread as usize];
            let found = &data["threads"][data["thread"][at].as_u64().unwrap() as usize];
            assert_eq!(found[1], thread.tid);
            assert_eq!(found[2], &*thread.comm);
        }
        let inner = data["frames"].as_array().unwrap().iter().find(|frame| frame[0] == "inner").unwrap();
        assert_eq!(inner[3], "/src/inner.h:3");
        assert_eq!(data["kinds"][inner[1].as_u64().unwrap() as usize], "inlined");
    }

    #[test]
    fn foreign_words_cannot_leave_their_place() {
        let hostile = "</script><script>alert(1)</script><!--\u{202e}";
        let mut timeline = example();
        timeline.frames[0].name = hostile.into();
        timeline.threads[0].comm = hostile.into();
        let about =
            About { title: hostile.to_owned(), coverage: Some(hostile.to_owned()), ..About::default() };
        let page = page(&timeline, &about);
        assert_eq!(page.matches("<script").count(), 2, "the data and our own");
        assert!(!page.contains("<!--"));
        assert_eq!(embedded(&page)["frames"][0][0], hostile);
    }

    #[test]
    fn the_page_asks_for_nothing_from_elsewhere() {
        let page = page(&example(), &About::default());
        for word in ["http://", "https://", "src=", "@import", "url(", "fetch(", "innerHTML"] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
