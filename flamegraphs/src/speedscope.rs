//! speedscope's own JSON, for <https://www.speedscope.app>: all threads together, then each by itself, the one with
//! the most first.
//!
//! ```
//! use flamegraphs::{About, speedscope};
//! use profile::Timeline;
//!
//! let mut json = Vec::new();
//! speedscope::write(&Timeline::default(), &About::default(), &mut json)?;
//! assert!(json.starts_with(b"{\"$schema\""));
//! # Ok::<(), std::io::Error>(())
//! ```

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};

use profile::{Frame, FrameId, Point, Timeline};
use serde::Serialize;

use crate::format::{About, Unit};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    shared: Shared<'a>,
    profiles: Vec<Profile<'a>>,
    name: &'a str,
    active_profile_index: u32,
    exporter: &'a str,
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: Vec<FileFrame<'a>>,
}

#[derive(Serialize)]
struct FileFrame<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    samples: Vec<&'a [FrameId]>,
    weights: Vec<u64>,
}

/// Writes `timeline`. Samples taken at intervals weigh their interval if it is known, else one each.
pub fn write(timeline: &Timeline, about: &About, mut out: impl Write) -> io::Result<()> {
    let mut all: Vec<&Point> = timeline.points.iter().collect();
    all.sort_by_key(|point| point.at);
    let mut by_thread: BTreeMap<u32, Vec<&Point>> = BTreeMap::new();
    for point in &all {
        by_thread.entry(point.thread).or_default().push(point);
    }
    let mut profiles = vec![profile(timeline, about, "all threads".to_owned(), &all)];
    let mut threads: Vec<Profile> = by_thread
        .iter()
        .map(|(id, points)| {
            let thread = &timeline.threads[*id as usize];
            let group = thread.group.as_ref().map(|group| format!("{group}: ")).unwrap_or_default();
            let name = format!("{group}{} {}/{}", thread.comm, thread.tgid, thread.tid);
            profile(timeline, about, name, points)
        })
        .collect();
    threads.sort_by_key(|thread| Reverse(thread.end_value));
    // Of one thread it would be the same twice.
    if threads.len() > 1 {
        profiles.append(&mut threads);
    }
    let file = File {
        schema: SCHEMA,
        shared: Shared { frames: timeline.frames.iter().map(frame).collect() },
        profiles,
        name: &about.title,
        active_profile_index: 0,
        exporter: &about.producer,
    };
    serde_json::to_writer(&mut out, &file)?;
    out.flush()
}

fn profile<'a>(timeline: &'a Timeline, about: &About, name: String, points: &[&Point]) -> Profile<'a> {
    let (unit, factor) = match about.unit {
        Unit::Nanoseconds => ("nanoseconds", 1),
        Unit::Samples if about.period_ns > 0 => ("nanoseconds", about.period_ns),
        Unit::Samples => ("none", 1),
    };
    let weights: Vec<u64> = points.iter().map(|point| point.weight.saturating_mul(factor)).collect();
    Profile {
        kind: "sampled",
        name,
        unit,
        start_value: 0,
        end_value: weights.iter().fold(0, |sum, weight| sum.saturating_add(*weight)),
        samples: points.iter().map(|point| &*timeline.stacks[point.stack as usize]).collect(),
        weights,
    }
}

/// speedscope colours by file and name: without a source file the module stands in.
fn frame(frame: &Frame) -> FileFrame<'_> {
    FileFrame {
        name: &frame.name,
        file: frame.source.as_ref().map(|source| &*source.file).or(frame.module.as_deref()),
        line: frame.source.as_ref().map(|source| source.line).filter(|line| *line > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::testing::example;
    use serde_json::Value;

    fn written(about: &About) -> Value {
        let mut json = Vec::new();
        write(&example(), about, &mut json).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    /// Name, samples as names, weights.
    fn decode(file: &Value, profile: usize) -> (String, Vec<Vec<String>>, Vec<u64>) {
        let profile = &file["profiles"][profile];
        let frames = &file["shared"]["frames"];
        let name = |id: &Value| frames[id.as_u64().unwrap() as usize]["name"].as_str().unwrap().to_owned();
        let samples = profile["samples"].as_array().unwrap().iter();
        (
            profile["name"].as_str().unwrap().to_owned(),
            samples.map(|stack| stack.as_array().unwrap().iter().map(name).collect()).collect(),
            profile["weights"].as_array().unwrap().iter().map(|weight| weight.as_u64().unwrap()).collect(),
        )
    }

    #[test]
    fn samples_read_back_as_they_were_together_and_by_thread() {
        let (timeline, file) = (example(), written(&About::default()));
        let stacks = |points: &[&Point]| -> Vec<Vec<String>> {
            points
                .iter()
                .map(|point| timeline.stack_of(point).map(|frame| frame.name.to_string()).collect())
                .collect()
        };
        let all: Vec<&Point> = timeline.points.iter().collect();
        assert_eq!(decode(&file, 0), ("all threads".to_owned(), stacks(&all), vec![1, 1, 2, 3]));
        let first = decode(&file, 1);
        assert_eq!(first, ("app 7/7".to_owned(), stacks(&[all[0], all[3]]), vec![1, 3]));
        assert_eq!(decode(&file, 2).0, "c0ffee: node 9/9");
        assert_eq!(file["profiles"].as_array().unwrap().len(), 4);
        let inner =
            file["shared"]["frames"].as_array().unwrap().iter().find(|one| one["name"] == "inner").unwrap();
        assert_eq!((&inner["file"], &inner["line"]), (&"/src/inner.h".into(), &3.into()));
    }

    #[test]
    fn the_end_is_the_sum_of_the_weights() {
        let file = written(&About { period_ns: 10, ..About::default() });
        for profile in file["profiles"].as_array().unwrap() {
            let sum: u64 = profile["weights"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
            assert_eq!(profile["endValue"], sum);
            assert_eq!(profile["unit"], "nanoseconds");
        }
        assert_eq!(file["profiles"][0]["endValue"], 70);
    }
}
