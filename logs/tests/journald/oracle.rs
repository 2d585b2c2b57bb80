//! What journalctl reads, and what this crate reads, in one form.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use logs::journal::{Entry, Journal, Step};
use serde_json::Value;

/// An entry, its fields sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct One {
    pub(crate) seqnum: u64,
    pub(crate) realtime_us: u64,
    pub(crate) monotonic_us: u64,
    pub(crate) boot_id: String,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
}

impl One {
    pub(crate) fn of(entry: &Entry) -> Self {
        let fields =
            entry.fields().map(|(name, value)| (String::from_utf8_lossy(name).into(), value.to_vec()));
        // Journalctl prints the boot id of the entry, not the field.
        let mut fields: Vec<_> = fields.filter(|(name, _): &(String, _)| name != "_BOOT_ID").collect();
        fields.sort_unstable();
        Self {
            seqnum: entry.seqnum,
            realtime_us: entry.realtime_us,
            monotonic_us: entry.monotonic_us,
            boot_id: format!("{:032x}", u128::from_be_bytes(entry.boot_id)),
            fields,
        }
    }
}

/// All entries of a file, by this crate; damaged ones are left out.
pub(crate) fn ours(path: &Path) -> (Vec<One>, Journal<File>) {
    let mut journal = Journal::open(File::open(path).expect("a file")).expect("a journal");
    let mut entry = Entry::default();
    let mut entries = Vec::new();
    loop {
        match journal.next(&mut entry).expect("a step") {
            Step::Entry => entries.push(One::of(&entry)),
            Step::Damaged => {}
            Step::End | Step::Archived => return (entries, journal),
        }
    }
}

/// All entries of a file, by journalctl.
pub(crate) fn journalctl(path: &Path) -> Vec<One> {
    let mut file = std::ffi::OsString::from("--file=");
    file.push(path);
    let output = Command::new("journalctl").args(["--all", "--quiet", "-o", "json"]).arg(file).output();
    let output = output.expect("journalctl: install the package systemd");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(one).collect()
}

fn one(line: &[u8]) -> One {
    let Ok(Value::Object(object)) = serde_json::from_slice(line) else {
        panic!("journalctl prints {}", String::from_utf8_lossy(line))
    };
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("no {name}"));
    let cursor = text("__CURSOR").split(';').find_map(|part| part.strip_prefix("i=")).expect("a number");
    let mut fields = Vec::new();
    for (name, value) in &object {
        if name.starts_with("__") || name == "_BOOT_ID" {
            continue;
        }
        match value {
            // An array of numbers is one value that is not text; any other array is several values.
            Value::Array(all) if !all.iter().all(Value::is_number) => {
                fields.extend(all.iter().map(|value| (name.clone(), bytes(value))));
            }
            one => fields.push((name.clone(), bytes(one))),
        }
    }
    fields.sort_unstable();
    One {
        seqnum: u64::from_str_radix(cursor, 16).expect("a number"),
        realtime_us: text("__REALTIME_TIMESTAMP").parse().expect("a time"),
        monotonic_us: text("__MONOTONIC_TIMESTAMP").parse().expect("a time"),
        boot_id: text("_BOOT_ID").to_owned(),
        fields,
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Array(all) => {
            all.iter().map(|byte| u8::try_from(byte.as_u64().expect("a byte")).expect("a byte")).collect()
        }
        Value::Null => Vec::new(),
        other => panic!("journalctl prints {other}"),
    }
}

/// Says where two readings part, not all of both.
pub(crate) fn assert_equal(ours: &[One], theirs: &[One]) {
    for (ours, theirs) in ours.iter().zip(theirs) {
        if ours != theirs {
            let names = |one: &One| {
                let names = one.fields.iter().map(|(name, value)| format!("{name}[{}]", value.len()));
                names.collect::<Vec<_>>().join(" ")
            };
            panic!(
                "entry {}: {} {} {} {}\nentry {}: {} {} {} {}",
                ours.seqnum,
                ours.realtime_us,
                ours.monotonic_us,
                ours.boot_id,
                names(ours),
                theirs.seqnum,
                theirs.realtime_us,
                theirs.monotonic_us,
                theirs.boot_id,
                names(theirs)
            );
        }
    }
    assert_eq!(ours.len(), theirs.len(), "entries");
}
