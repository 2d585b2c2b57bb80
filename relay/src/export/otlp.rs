//! OTLP profiles over HTTP: `opentelemetry.proto.collector.profiles.v1development`, as of version 1.9 of the protocol
//! (the messages that `PyPI`'s opentelemetry-proto 1.45 has). Alpha: its fields were renamed and renumbered more than once.
//!
//! All names of a request stand in one dictionary, of which index 0 of each table is nothing.

pub(super) mod common;
mod message;

use std::collections::HashMap;
use std::hash::Hash;

use profile::block::Looked;
use profile::{Frame, FrameId, Kind, Point};
use prost::Message as _;

use self::common::{AnyValue, Resource, Scope, any_value, attribute, gzip};
use self::message::{
    Attribute, Dictionary, Function, Line, Location, Mapping, Profile, Request, ResourceProfiles, Response,
    Sample, ScopeProfiles, Stack, ValueType,
};
use super::profiles::Profiles;
use super::send::Rejected;

/// Below the receiver's address.
pub(super) const PATH: &str = "/v1development/profiles";
/// Of each request.
pub(super) const HEADERS: [(&str, &str); 2] =
    [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];

/// The request of a block.
pub(super) fn encode(profiles: &Profiles) -> std::io::Result<Vec<u8>> {
    let mut tables = Tables::new();
    let mut resources = Vec::new();
    for (service, of) in &profiles.services {
        let attributes = [
            ("service.name", &service.name),
            ("host.name", &profiles.host),
            ("container.id", &service.container),
        ];
        let attributes = attributes.into_iter().filter(|(_, value)| !value.is_empty());
        let attributes = attributes.map(|(key, value)| attribute(key, value));
        let all = of.iter().map(|(looked, points)| tables.profile(profiles, *looked, points));
        resources.push(ResourceProfiles {
            resource: Some(Resource { attributes: attributes.collect() }),
            scope_profiles: vec![ScopeProfiles { scope: Some(Scope::own()), profiles: all.collect() }],
        });
    }
    let request = Request { resource_profiles: resources, dictionary: Some(tables.finish()) };
    gzip(&request.encode_to_vec())
}

/// What a receiver says that it left out. How many samples its profiles had, it does not say.
pub(super) fn rejected(answer: &[u8]) -> Option<Rejected> {
    let partial = Response::decode(answer).ok()?.partial_success?;
    (partial.rejected_profiles > 0).then(|| {
        let said = said(&partial.error_message);
        let why = format!("the receiver left out {} profiles: {said}", partial.rejected_profiles);
        Rejected { why, samples: None }
    })
}

/// A receiver's words, short and harmless.
pub(super) fn said(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Indices of what is there once.
struct Table<K, V> {
    indices: HashMap<K, i32>,
    rows: Vec<V>,
}

impl<K: Hash + Eq, V: Default> Table<K, V> {
    fn new() -> Self {
        Self { indices: HashMap::new(), rows: vec![V::default()] }
    }

    fn get(&self, key: &K) -> Option<i32> {
        self.indices.get(key).copied()
    }

    fn put(&mut self, key: K, row: V) -> i32 {
        let index = i32::try_from(self.rows.len()).unwrap_or(i32::MAX);
        self.indices.insert(key, index);
        self.rows.push(row);
        index
    }
}

/// The dictionary in the making.
struct Tables {
    strings: Table<String, String>,
    functions: Table<(i32, i32), Function>,
    mappings: Table<i32, Mapping>,
    /// By function, line, mapping and kind of each frame, the innermost first.
    locations: Table<Vec<(i32, i64, i32, i32)>, Location>,
    stacks: Table<Vec<i32>, Stack>,
    attributes: Table<(i32, String), Attribute>,
}

impl Tables {
    fn new() -> Self {
        let mut strings = Table::new();
        strings.indices.insert(String::new(), 0);
        Self {
            strings,
            functions: Table::new(),
            mappings: Table::new(),
            locations: Table::new(),
            stacks: Table::new(),
            attributes: Table::new(),
        }
    }

    fn finish(self) -> Dictionary {
        Dictionary {
            mapping_table: self.mappings.rows,
            location_table: self.locations.rows,
            function_table: self.functions.rows,
            link_table: vec![message::Link::default()],
            string_table: self.strings.rows,
            attribute_table: self.attributes.rows,
            stack_table: self.stacks.rows,
        }
    }

    fn string(&mut self, text: &str) -> i32 {
        match self.strings.indices.get(text) {
            Some(index) => *index,
            None => self.strings.put(text.to_owned(), text.to_owned()),
        }
    }

    fn value_type(&mut self, kind: &str, unit: &str) -> ValueType {
        ValueType { type_strindex: self.string(kind), unit_strindex: self.string(unit) }
    }

    fn attribute(&mut self, key: &str, value: &any_value::Value) -> i32 {
        let key = self.string(key);
        let known = (key, format!("{value:?}"));
        self.attributes.get(&known).unwrap_or_else(|| {
            let row = Attribute {
                key_strindex: key,
                value: Some(AnyValue { value: Some(value.clone()) }),
                unit_strindex: 0,
            };
            self.attributes.put(known, row)
        })
    }

    fn profile(&mut self, profiles: &Profiles, looked: Looked, points: &[Point]) -> Profile {
        let timeline = profiles.timeline(looked);
        let (kind, unit, period) = match looked {
            Looked::Cpu => ("samples", "count", profiles.period_ns),
            Looked::Wait => ("off_cpu", "nanoseconds", 0),
        };
        let mut weights: HashMap<(u32, u32), u64> = HashMap::new();
        for point in points {
            let weight = weights.entry((point.thread, point.stack)).or_default();
            *weight = weight.saturating_add(point.weight);
        }
        let mut weights: Vec<_> = weights.into_iter().collect();
        weights.sort_unstable();
        let samples = weights.into_iter().map(|((thread, stack), weight)| {
            let process = any_value::Value::Int(timeline.threads[thread as usize].tgid.into());
            Sample {
                stack_index: self.stack(&timeline.stacks[stack as usize], &timeline.frames),
                attribute_indices: vec![self.attribute("process.pid", &process)],
                link_index: 0,
                values: vec![i64::try_from(weight).unwrap_or(i64::MAX)],
                timestamps_unix_nano: Vec::new(),
            }
        });
        let samples = samples.collect();
        Profile {
            sample_type: Some(self.value_type(kind, unit)),
            samples,
            time_unix_nano: profiles.from.0,
            duration_nano: profiles.length_ns,
            period_type: (period > 0).then(|| self.value_type("cpu", "nanoseconds")),
            period: i64::try_from(period).unwrap_or(i64::MAX),
        }
    }

    /// Index of a stack, whose locations are leaf first.
    fn stack(&mut self, stack: &[FrameId], frames: &[Frame]) -> i32 {
        let mut indices = Vec::with_capacity(stack.len());
        let mut end = stack.len();
        while end > 0 {
            // An inlined function belongs to the location of the function below it.
            let mut start = end - 1;
            while start > 0 && frames[stack[start] as usize].kind == Kind::Inlined {
                start -= 1;
            }
            indices.push(self.location(&stack[start..end], frames));
            end = start;
        }
        self.stacks
            .get(&indices)
            .unwrap_or_else(|| self.stacks.put(indices.clone(), Stack { location_indices: indices }))
    }

    fn location(&mut self, chain: &[FrameId], frames: &[Frame]) -> i32 {
        let outer = &frames[chain[0] as usize];
        let kind = match outer.kind {
            Kind::Kernel => "kernel",
            Kind::Interpreted => "cpython",
            _ => "native",
        };
        let kind = self.attribute("profile.frame.type", &any_value::Value::String(kind.to_owned()));
        let mapping = outer.module.as_deref().map_or(0, |file| self.mapping(file));
        let mut key = Vec::with_capacity(chain.len());
        // The innermost first.
        for frame in chain.iter().rev().map(|id| &frames[*id as usize]) {
            let (file, line) =
                frame.source.as_ref().map_or(("", 0), |source| (&*source.file, i64::from(source.line)));
            let function = (self.string(&frame.name), self.string(file));
            let function = self.functions.get(&function).unwrap_or_else(|| {
                let row = Function {
                    name_strindex: function.0,
                    filename_strindex: function.1,
                    ..Function::default()
                };
                self.functions.put(function, row)
            });
            key.push((function, line, mapping, kind));
        }
        self.locations.get(&key).unwrap_or_else(|| {
            let lines = key
                .iter()
                .map(|(function_index, line, ..)| Line { function_index: *function_index, line: *line });
            let row = Location {
                mapping_index: mapping,
                address: 0,
                lines: lines.collect(),
                attribute_indices: vec![kind],
            };
            self.locations.put(key, row)
        })
    }

    fn mapping(&mut self, file: &str) -> i32 {
        let name = self.string(file);
        self.mappings.get(&name).unwrap_or_else(|| {
            self.mappings.put(name, Mapping { filename_strindex: name, ..Mapping::default() })
        })
    }
}
