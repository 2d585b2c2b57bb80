mod traces;

use std::collections::HashSet;

use super::class::Source;
use super::*;

const SECOND: u64 = 1_000_000_000;
const KERNEL: Origin = Origin::Kernel { facility: 0 };

fn record(message: &str, at_ms: u64) -> Record {
    Record {
        at: UnixNs(1_700_000_000 * SECOND + at_ms * 1_000_000),
        severity: Severity::Warning,
        pid: 0,
        start_ns: 0,
        position: at_ms,
        message: message.to_owned(),
        fields: Vec::new(),
    }
}

/// An entry of PID 1 about the unit that the text names.
fn entry(message: &str, fields: &[(&str, &str)]) -> Record {
    let mut entry = record(message, 0);
    entry.fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    entry
}

fn unit_in(message: &str) -> Option<&str> {
    let ends = [".service", ".socket", ".timer"];
    message.split([' ', ':']).find(|word| ends.iter().any(|end| word.ends_with(end)))
}

/// All events of these records, with those that are over after ten minutes.
fn run(records: &[(Record, Origin)]) -> Vec<Event> {
    let mut events = Events::new();
    let mut found = Vec::new();
    for (record, origin) in records {
        events.feed(record, *origin, &mut found);
    }
    let last = records.last().map_or(0, |(record, _)| record.at.0);
    events.sweep(UnixNs(last + 3 * SECOND), &mut found);
    found
}

fn of_kernel(lines: &[&str]) -> Vec<Event> {
    let records: Vec<_> =
        lines.iter().enumerate().map(|(nth, line)| (record(line, nth as u64), KERNEL)).collect();
    run(&records)
}

/// The events of a line from whoever may write lines of this class.
fn events_of(line: &str, source: Source) -> Vec<Event> {
    match source {
        Source::Kernel | Source::Trace(_) | Source::Alone => of_kernel(&[line]),
        Source::Unit(unit) => {
            run(&[(entry(line, &[("_PID", "99"), ("_SYSTEMD_UNIT", &format!("{unit}1"))]), Origin::Journal)])
        }
        Source::Init(id) => {
            let mut fields = vec![("MESSAGE_ID", id), ("_PID", "1"), ("_SYSTEMD_UNIT", "init.scope")];
            fields.extend(unit_in(line).map(|unit| ("UNIT", unit)));
            let one = entry(line, &fields);
            let times = if id == classes::RESTART_SCHEDULED { LOOP_RESTARTS } else { 1 };
            run(&vec![(one, Origin::Journal); times])
        }
    }
}

#[test]
fn there_are_thirty_classes_or_more_with_texts_and_names_of_their_own() {
    let names: HashSet<&str> = classes().map(|class| class.name).collect();
    assert!(names.len() >= 30, "{}", names.len());
    assert_eq!(names.len(), classes().count());
    for class in classes() {
        assert!(class.doc.len() > 40 && !class.rules.is_empty(), "{}", class.name);
        assert!(class.examples.len() >= 2 && !class.near.is_empty(), "{}", class.name);
        assert!(class.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", class.name);
        assert!(super::class(class.name).is_some());
        for finding in class.explains {
            assert!(agent_common::wire::finding::Class::KNOWN.contains(finding), "{}: {finding}", class.name);
        }
    }
}

#[test]
fn each_example_is_one_event_of_its_class_and_subject() {
    for class in classes() {
        let mut used = HashSet::new();
        for (line, subject) in class.examples {
            let found: Vec<(usize, Vec<Event>)> = class
                .rules
                .iter()
                .enumerate()
                .map(|(nth, rule)| (nth, events_of(line, rule.source)))
                .filter(|(_, events)| !events.is_empty())
                .collect();
            assert!(!found.is_empty(), "{}: no event of {line}", class.name);
            for (nth, events) in found {
                if regex::Regex::new(class.rules[nth].pattern).unwrap().is_match(line) {
                    used.insert(nth);
                }
                assert_eq!(events.len(), 1, "{}: {events:?}", class.name);
                assert_eq!(events[0].class, class.name, "{line}");
                assert_eq!(events[0].subject.to_string(), *subject, "{line}");
                assert_eq!(events[0].severity, class.severity);
            }
        }
        let unused: Vec<&str> = (0..class.rules.len())
            .filter(|nth| !used.contains(nth))
            .map(|nth| class.rules[nth].pattern)
            .collect();
        assert!(unused.is_empty(), "{}: no example of {unused:#?}", class.name);
    }
}

#[test]
fn needles_are_parts_of_the_lines_that_rules_match() {
    for class in classes() {
        for rule in class.rules {
            let regex = regex::Regex::new(rule.pattern).unwrap();
            for (line, _) in class.examples.iter().filter(|(line, _)| regex.is_match(line)) {
                assert!(
                    rule.needle.split('|').any(|needle| line.contains(needle)),
                    "{}: {:?} is not in {line}",
                    class.name,
                    rule.needle
                );
            }
        }
    }
}

#[test]
fn near_misses_are_no_events() {
    for class in classes() {
        for line in class.near {
            for rule in class.rules {
                let events = events_of(line, rule.source);
                assert!(events.is_empty(), "{}: {events:?}", class.name);
            }
        }
    }
}

#[test]
fn what_user_space_writes_makes_no_event() {
    for class in classes() {
        for (line, _) in class.examples {
            let forged = entry(
                line,
                &[
                    ("MESSAGE_ID", "d9b373ed55a64feb8242e02dbe79a49c"),
                    ("_PID", "4711"),
                    ("_SYSTEMD_UNIT", "web.service"),
                    ("_TRANSPORT", "journal"),
                    ("UNIT", "db.service"),
                    ("SYSLOG_FACILITY", "0"),
                ],
            );
            let by_kmsg = entry(line, &[("_TRANSPORT", "kernel"), ("SYSLOG_FACILITY", "1")]);
            let of_user = entry(
                line,
                &[
                    ("_SYSTEMD_UNIT", "user@1000.service"),
                    ("_SYSTEMD_USER_UNIT", "systemd-coredump@1.service"),
                ],
            );
            for (record, origin) in [
                (forged.clone(), Origin::Journal),
                (by_kmsg, Origin::Journal),
                (of_user, Origin::Journal),
                (forged.clone(), Origin::Kernel { facility: 1 }),
                (forged.clone(), Origin::Kernel { facility: 3 }),
                (forged, Origin::Other),
            ] {
                assert!(run(&[(record, origin)]).is_empty(), "{}: {line}", class.name);
            }
        }
    }
}

#[test]
fn the_kernels_lines_in_the_journal_count_once_they_are_its_own() {
    let line = "Out of memory: Killed process 1234 (mysqld) total-vm:1kB";
    let own = entry(line, &[("_TRANSPORT", "kernel"), ("SYSLOG_FACILITY", "0")]);
    assert_eq!(run(&[(own, Origin::Journal)])[0].class, "oom-kill");
}

#[test]
fn a_comm_that_looks_like_another_class_does_not_make_it_one() {
    for (line, comm) in [
        ("Oops: 0000 [#1][99]: segfault at 0 ip 0 sp 0 error 4 in a[0+1000]", "Oops: 0000 [#1]"),
        ("Kernel panic - [99]: segfault at 0 ip 0 sp 0 error 4 in a[0+1000]", "Kernel panic - "),
        ("watchdog: BUG: [99]: segfault at 0 ip 0 sp 0 error 4 in a[0+1000]", "watchdog: BUG: "),
    ] {
        let events = of_kernel(&[line]);
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].class.as_str(), events[0].subject.name.as_str()), ("crash", comm));
    }
}

#[test]
fn the_same_within_a_minute_is_one_event_with_a_count() {
    let mut events = Events::new();
    let mut found = Vec::new();
    for nth in 0..100 {
        let line =
            format!("I/O error, dev sdb, sector {nth} op 0x1:(WRITE) flags 0x800 phys_seg 2 prio class 2");
        events.feed(&record(&line, nth * 10), KERNEL, &mut found);
    }
    events.feed(&record("I/O error, dev sdc, sector 1 op 0x1:(WRITE)", 1_000), KERNEL, &mut found);
    assert_eq!(found.len(), 2, "{found:?}");
    found.clear();
    events.sweep(UnixNs(1_700_000_000 * SECOND + 59 * SECOND), &mut found);
    assert!(found.is_empty());
    events.sweep(UnixNs(1_700_000_000 * SECOND + 61 * SECOND), &mut found);
    assert_eq!(
        found.iter().map(|event| (event.subject.name.as_str(), event.count)).collect::<Vec<_>>(),
        [("sdb", 100)]
    );
    found.clear();
    events.feed(&record("I/O error, dev sdb, sector 1 op 0x1:(WRITE)", 62_000), KERNEL, &mut found);
    assert_eq!(found.len(), 1, "a new event");
}

#[test]
fn a_limit_of_a_cgroup_is_named_with_the_kill() {
    let events = of_kernel(&[
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/demo,task_memcg=/demo/a,task=python3,pid=5242,uid=0",
        "Memory cgroup out of memory: Killed process 5242 (python3) total-vm:262144kB, anon-rss:101376kB, file-rss:5632kB",
    ]);
    assert_eq!(events.len(), 1);
    assert!(events[0].text.ends_with(" (limit of /demo)"), "{}", events[0].text);
}

#[test]
fn restarts_are_a_loop_from_the_third_within_ten_minutes() {
    let restart = |unit: &str, second: u64| {
        let mut one = entry(
            &format!("{unit}: Scheduled restart job, restart counter is at 9."),
            &[("MESSAGE_ID", classes::RESTART_SCHEDULED), ("_PID", "1"), ("UNIT", unit)],
        );
        one.at = UnixNs(1_700_000_000 * SECOND + second * SECOND);
        (one, Origin::Journal)
    };
    assert!(run(&[restart("a.service", 0), restart("b.service", 1), restart("a.service", 2)]).is_empty());
    assert!(run(&[restart("a.service", 0), restart("a.service", 400), restart("a.service", 801)]).is_empty());
    let events = run(&[restart("a.service", 0), restart("a.service", 1), restart("a.service", 2)]);
    assert_eq!(events[0].subject.to_string(), "unit a.service");
}

#[test]
fn hostile_lines_do_no_harm_and_come_out_harmless() {
    let hostile = "\u{202e}\u{1b}[31m<b>\u{7}";
    let line = format!(
        "Out of memory: Killed process 12 (a{hostile}b) total-vm:1kB {}",
        "x\u{202e}é".repeat(400_000)
    );
    assert!(line.len() > 1 << 20);
    let events = of_kernel(&[&line]);
    assert_eq!(events.len(), 1);
    assert!(events[0].text.len() <= MAX_TEXT_BYTES);
    for text in [&events[0].text, &events[0].subject.name] {
        assert!(!text.contains(['\u{202e}', '\u{1b}', '\u{7}']), "{text:?}");
    }
    let long = "BUG: ".repeat(300_000);
    assert!(
        of_kernel(&[
            &long,
            "\u{0}",
            "",
            "é",
            "---[ end trace 0 ]---",
            "===================================="
        ])
        .is_empty()
    );
}

#[test]
fn memory_is_bounded_under_a_flood_of_subjects_and_traces() {
    let mut events = Events::new();
    let mut found = Vec::new();
    for nth in 0..5_000 {
        events.feed(&record(&format!("I/O error, dev d{nth}, sector 1 op"), nth), KERNEL, &mut found);
        events.feed(&record("------------[ cut here ]------------", nth), KERNEL, &mut found);
        let one = entry(
            "x: Scheduled restart job, restart counter is at 1.",
            &[
                ("MESSAGE_ID", classes::RESTART_SCHEDULED),
                ("_PID", "1"),
                ("UNIT", &format!("u{nth}.service")),
            ],
        );
        events.feed(&one, Origin::Journal, &mut found);
    }
    assert_eq!(found.len(), 5_000);
    assert!(events.recent.len() <= MAX_RECENT && events.order.len() <= MAX_RECENT);
    assert!(events.restarts.len() <= MAX_UNITS);
}

#[test]
fn harmless_lines_of_a_real_boot_are_no_events() {
    let lines = [
        "sched_clock: Marking stable (432014397, 1461809)->(463284119, -29807913)",
        "registered taskstats version 1",
        "Loading compiled-in X.509 certificates",
        "Demotion targets for Node 0: null",
        "Btrfs loaded, zoned=no, fsverity=no",
        "clk: Disabling unused clocks",
        "Freeing unused kernel image (initmem) memory: 3728K",
        "Run /sbin/init as init process",
        "virtio_blk virtio1: [vda] new size: 536870912 512-byte logical blocks (275 GB/256 GiB)",
        "tokio-rt-worker (70): drop_caches: 3",
        "EXT4-fs (vda): mounted filesystem 00000000-0000-0000-0000-000000000000 r/w without journal. Quota mode: none.",
    ];
    assert!(of_kernel(&lines).is_empty());
}

#[test]
fn the_reference_has_all_classes() {
    let page = reference();
    for class in classes() {
        assert!(page.contains(&format!("\n## {}\n", class.name)));
        assert!(page.contains(class.doc));
    }
}

#[test]
fn the_reference_page_has_all_classes_as_they_are() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/EVENTS.md");
    if std::env::var_os("S7MPA_UPDATE").is_some() {
        std::fs::write(path, reference()).expect("written");
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page == reference(), "{path} is not what the classes say: run this test with S7MPA_UPDATE=1");
}
