//! Firefox Profiler: the processed profile format, version 55, for <https://profiler.firefox.com> ("Load a profile
//! from file"). Each thread has its own tables, samples have their times, frames their kind as category.
//!
//! ```
//! use flamegraphs::{About, firefox};
//! use profile::Timeline;
//!
//! let mut json = Vec::new();
//! firefox::write(&Timeline::default(), &About::default(), &mut json)?;
//! assert!(json.starts_with(b"{\"meta\""));
//! # Ok::<(), std::io::Error>(())
//! ```

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use agent_common::units::MonoNs;
use profile::{Frame, Kind, Point, Thread, Timeline, intern};
use serde::Serialize;
use serde_json::{Value, json};

use crate::format::{About, Unit};

/// The version of the format. Newer ones of the web page upgrade it themselves.
const VERSION: u32 = 55;

/// Writes `timeline`. Weights in ns become the unit `tracing-ms`, else they count samples.
pub fn write(timeline: &Timeline, about: &About, mut out: impl Write) -> io::Result<()> {
    let mut by_thread: BTreeMap<u32, Vec<&Point>> = BTreeMap::new();
    for point in &timeline.points {
        by_thread.entry(point.thread).or_default().push(point);
    }
    let start = timeline.span().map_or(MonoNs(0), |(start, _)| start);
    let mut libs = Tables::default();
    let mut mains: Vec<u32> = Vec::new();
    let mut threads = Vec::with_capacity(by_thread.len());
    for (id, mut points) in by_thread {
        // In their order in time, which the page relies on.
        points.sort_by_key(|point| point.at);
        let thread = &timeline.threads[id as usize];
        let main = !mains.contains(&thread.tgid);
        if main {
            mains.push(thread.tgid);
        }
        let mut tables = Tables::default();
        let samples = tables.samples(timeline, &points, start, about.unit);
        threads.push(tables.thread(thread, main, &samples, &mut libs));
    }
    let libs: Vec<Value> = libs.libs.list.iter().map(|path| library(path)).collect();
    let profile =
        Profile { meta: meta(about), libs, threads, pages: [], profiler_overhead: [], counters: [] };
    serde_json::to_writer(&mut out, &profile)?;
    out.flush()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    meta: Value,
    libs: Vec<Value>,
    threads: Vec<Value>,
    pages: [(); 0],
    profiler_overhead: [(); 0],
    counters: [(); 0],
}

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Native => "blue",
        Kind::Inlined => "lightblue",
        Kind::Jit => "green",
        Kind::Interpreted => "yellow",
        Kind::Kernel => "orange",
        Kind::Unnamed | Kind::Root => "grey",
        Kind::Reason => "red",
        Kind::Waker => "purple",
    }
}

/// A category is the kind at its place in [`Kind::ALL`].
fn category(kind: Kind) -> usize {
    Kind::ALL.iter().position(|one| *one == kind).unwrap_or_default()
}

fn meta(about: &About) -> Value {
    let categories = Kind::ALL
        .map(|kind| json!({"name": kind.as_str(), "color": colour(kind), "subcategories": ["Other"]}));
    let period_ms = if about.period_ns > 0 { about.period_ns as f64 / 1e6 } else { 1.0 };
    json!({
        "categories": categories,
        "debug": false,
        "extensions": {"length": 0, "baseURL": [], "id": [], "name": []},
        "interval": period_ms,
        "preprocessedProfileVersion": VERSION,
        "processType": 0,
        "product": about.title,
        "importedFrom": about.producer,
        "extra": about.coverage.iter().map(|coverage| json!({
            "label": "Coverage",
            "entries": [{"label": "Coverage", "format": "string", "value": coverage}],
        })).collect::<Vec<_>>(),
        "oscpu": "Linux",
        "sampleUnits": {"time": "ms", "eventDelay": "ms", "threadCPUDelta": "ns"},
        "startTime": about.start_unix_ns as f64 / 1e6,
        "symbolicated": true,
        "pausedRanges": [],
        "version": 24,
        "usesOnlyOneStackType": true,
        "sourceCodeIsNotOnSearchfox": true,
        "markerSchema": [],
    })
}

fn library(path: &str) -> Value {
    let name = path.rsplit('/').next().unwrap_or(path);
    json!({
        "name": name, "path": path, "debugName": name, "debugPath": path,
        "breakpadId": "", "codeId": null, "arch": null,
    })
}

/// A list in which each entry is once.
#[derive(Debug)]
struct Once<T> {
    ids: HashMap<T, u32>,
    list: Vec<T>,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self { ids: HashMap::new(), list: Vec::new() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Once<T> {
    fn id(&mut self, value: T) -> u32 {
        intern(&mut self.ids, &mut self.list, value)
    }
}

/// One thread's tables, by column where the format has columns.
#[derive(Debug, Default)]
struct Tables {
    strings: Once<String>,
    /// Function, category, line, depth of inlining.
    frames: Once<(u32, usize, Option<u32>, u32)>,
    /// Name, library, source file.
    functions: Once<(u32, Option<String>, Option<u32>)>,
    /// Prefix, frame.
    stacks: Once<(Option<u32>, u32)>,
    libs: Once<String>,
}

impl Tables {
    fn samples(&mut self, timeline: &Timeline, points: &[&Point], start: MonoNs, unit: Unit) -> Value {
        let mut leaves: HashMap<u32, Option<u32>> = HashMap::new();
        let mut stack = Vec::with_capacity(points.len());
        for point in points {
            let leaf = *leaves.entry(point.stack).or_insert_with(|| {
                let mut depth = 0;
                timeline.stack_of(point).fold(None, |prefix, frame| {
                    depth = if frame.kind == Kind::Inlined { depth + 1 } else { 0 };
                    let frame = self.frame(frame, depth);
                    Some(self.stacks.id((prefix, frame)))
                })
            });
            stack.push(leaf);
        }
        let time: Vec<f64> = points.iter().map(|point| point.at.since(start).0 as f64 / 1e6).collect();
        let (kind, weight): (_, Vec<Value>) = match unit {
            Unit::Samples => ("samples", points.iter().map(|point| json!(point.weight)).collect()),
            Unit::Nanoseconds => {
                ("tracing-ms", points.iter().map(|point| json!(point.weight as f64 / 1e6)).collect())
            }
        };
        json!({"length": points.len(), "weightType": kind, "stack": stack, "time": time, "weight": weight})
    }

    fn frame(&mut self, frame: &Frame, depth: u32) -> u32 {
        let name = self.strings.id(frame.name.to_string());
        let file = frame.source.as_ref().map(|source| self.strings.id(source.file.to_string()));
        let function = self.functions.id((name, frame.module.as_deref().map(str::to_owned), file));
        let line = frame.source.as_ref().map(|source| source.line).filter(|line| *line > 0);
        self.frames.id((function, category(frame.kind), line, depth))
    }

    fn thread(mut self, thread: &Thread, main: bool, samples: &Value, libs: &mut Self) -> Value {
        let resources: Vec<String> =
            self.functions.list.iter().filter_map(|(_, lib, _)| lib.clone()).collect();
        for path in resources {
            self.libs.id(path);
        }
        let resource = |lib: &Option<String>| lib.as_ref().map_or(-1, |path| i64::from(self.libs.ids[path]));
        let names: Vec<String> =
            self.libs.list.iter().map(|path| path.rsplit('/').next().unwrap_or(path).to_owned()).collect();
        let (frames, functions) = (&self.frames.list, &self.functions.list);
        let column = |value: Value, len| vec![value; len];
        let frame_table = json!({
            "length": frames.len(),
            "address": column(json!(-1), frames.len()),
            "inlineDepth": frames.iter().map(|frame| frame.3).collect::<Vec<_>>(),
            "category": frames.iter().map(|frame| frame.1).collect::<Vec<_>>(),
            "subcategory": column(json!(0), frames.len()),
            "func": frames.iter().map(|frame| frame.0).collect::<Vec<_>>(),
            "nativeSymbol": column(Value::Null, frames.len()),
            "innerWindowID": column(json!(0), frames.len()),
            "line": frames.iter().map(|frame| frame.2).collect::<Vec<_>>(),
            "column": column(Value::Null, frames.len()),
        });
        let function_table = json!({
            "length": functions.len(),
            "name": functions.iter().map(|function| function.0).collect::<Vec<_>>(),
            "isJS": column(json!(false), functions.len()),
            "relevantForJS": column(json!(false), functions.len()),
            "resource": functions.iter().map(|function| resource(&function.1)).collect::<Vec<_>>(),
            "fileName": functions.iter().map(|function| function.2).collect::<Vec<_>>(),
            "lineNumber": column(Value::Null, functions.len()),
            "columnNumber": column(Value::Null, functions.len()),
        });
        let resource_table = json!({
            "length": names.len(),
            "lib": self.libs.list.iter().map(|path| libs.libs.id(path.clone())).collect::<Vec<_>>(),
            "name": names.into_iter().map(|name| self.strings.id(name)).collect::<Vec<_>>(),
            "host": column(Value::Null, self.libs.list.len()),
            "type": column(json!(1), self.libs.list.len()),
        });
        let stack_table = json!({
            "length": self.stacks.list.len(),
            "prefix": self.stacks.list.iter().map(|stack| stack.0).collect::<Vec<_>>(),
            "frame": self.stacks.list.iter().map(|stack| stack.1).collect::<Vec<_>>(),
        });
        let name = thread.process_name();
        let process =
            thread.group.as_ref().map_or_else(|| name.to_string(), |group| format!("{name} in {group}"));
        json!({
            "frameTable": frame_table,
            "funcTable": function_table,
            "markers": {
                "length": 0, "category": [], "data": [], "endTime": [], "name": [], "phase": [], "startTime": [],
            },
            // The page calls a main thread what its process is called.
            "name": thread.comm,
            "isMainThread": main,
            "nativeSymbols": {"length": 0, "address": [], "functionSize": [], "libIndex": [], "name": []},
            "pausedRanges": [],
            "pid": thread.tgid.to_string(),
            "processName": process,
            "processShutdownTime": null,
            "processStartupTime": 0,
            "processType": "default",
            "registerTime": 0,
            "resourceTable": resource_table,
            "samples": samples,
            "stackTable": stack_table,
            "stringArray": self.strings.list,
            "tid": thread.tid.to_string(),
            "unregisterTime": null,
            "showMarkersInTimeline": false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::testing::example;

    /// The page's own way from a sample to its stack, root first: name, category, line, file.
    fn decode(thread: &Value, sample: usize) -> Vec<(String, String, Option<u64>, Option<String>)> {
        let at = |table: &str, column: &str, row: &Value| {
            thread[table][column][row.as_u64().unwrap() as usize].clone()
        };
        let string = |id: &Value| {
            id.as_u64().map(|id| thread["stringArray"][id as usize].as_str().unwrap().to_owned())
        };
        let mut stack = thread["samples"]["stack"][sample].clone();
        let mut frames = Vec::new();
        while !stack.is_null() {
            let frame = at("stackTable", "frame", &stack);
            let function = at("frameTable", "func", &frame);
            let category = at("frameTable", "category", &frame).as_u64().unwrap();
            frames.push((
                string(&at("funcTable", "name", &function)).unwrap(),
                Kind::ALL[category as usize].as_str().to_owned(),
                at("frameTable", "line", &frame).as_u64(),
                string(&at("funcTable", "fileName", &function)),
            ));
            stack = at("stackTable", "prefix", &stack);
        }
        frames.reverse();
        frames
    }

    fn written(about: &About) -> Value {
        let mut json = Vec::new();
        write(&example(), about, &mut json).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    #[test]
    fn the_page_finds_every_sample_as_it_was() {
        let (timeline, profile) = (example(), written(&About::default()));
        let threads = profile["threads"].as_array().unwrap();
        let start = timeline.span().unwrap().0;
        for (id, thread) in timeline.threads.iter().enumerate() {
            let tid = thread.tid.to_string();
            let found = threads.iter().find(|one| one["tid"] == tid.as_str()).unwrap();
            assert_eq!(found["pid"], thread.tgid.to_string());
            let points: Vec<_> = timeline.points.iter().filter(|point| point.thread as usize == id).collect();
            assert_eq!(found["samples"]["length"], points.len());
            for (at, point) in points.into_iter().enumerate() {
                let frames = timeline.stack_of(point).map(|frame| {
                    let source = frame.source.as_ref();
                    (
                        frame.name.to_string(),
                        frame.kind.as_str().to_owned(),
                        source.map(|source| source.line.into()),
                        source.map(|source| source.file.to_string()),
                    )
                });
                assert_eq!(decode(found, at), frames.collect::<Vec<_>>());
                assert_eq!(found["samples"]["time"][at], point.at.since(start).0 as f64 / 1e6);
                assert_eq!(found["samples"]["weight"][at], point.weight);
            }
        }
        assert_eq!(profile["libs"][0]["path"], "/usr/bin/app");
        assert_eq!(
            threads.iter().filter(|thread| thread["isMainThread"] == true).count(),
            2,
            "one a process"
        );
    }

    #[test]
    fn columns_are_as_long_as_their_table_says() {
        let profile = written(&About { unit: Unit::Nanoseconds, ..About::default() });
        let mut tables = 0;
        for thread in profile["threads"].as_array().unwrap() {
            for table in thread.as_object().unwrap().values().filter(|table| table["length"].is_u64()) {
                tables += 1;
                for column in table.as_object().unwrap().values().filter_map(Value::as_array) {
                    assert_eq!(column.len() as u64, table["length"].as_u64().unwrap());
                }
            }
            assert_eq!(thread["samples"]["weightType"], "tracing-ms");
        }
        assert_eq!(tables, 3 * 7);
    }
}
