//! Traces of the kernel.

use super::*;

fn oops(cpu: u32, pid: u32, function: &str, number: u32) -> Vec<String> {
    let mut lines = vec![
        "BUG: kernel NULL pointer dereference, address: 0000000000000010".to_owned(),
        "#PF: supervisor write access in kernel mode".to_owned(),
        "#PF: error_code(0x0002) - not-present page".to_owned(),
        "PGD 0 P4D 0 ".to_owned(),
        format!("Oops: 0002 [#{number}] PREEMPT SMP PTI"),
        format!("CPU: {cpu} PID: {pid} Comm: rmmod{cpu} Tainted: G           OE      6.1.0-18-amd64 #1"),
        "Hardware name: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.2-debian-1.16.2-1 04/01/2014"
            .to_owned(),
        format!("RIP: 0010:{function}+0x10/0x30 [foo]"),
        "Code: 00 00 0f 1f".to_owned(),
    ];
    lines.extend((0..20).map(|nth| format!("R{nth}: 0000000000000000 RCX: 0000000000000001")));
    lines.extend(["Call Trace:".to_owned(), " <TASK>".to_owned(), " ? __die_body+0x1a/0x60".to_owned()]);
    lines.extend((0..25).map(|nth| format!(" call_{nth}+0x10/0x20")));
    lines.extend([
        " </TASK>".to_owned(),
        "CR2: 0000000000000010".to_owned(),
        "---[ end trace 0000000000000000 ]---".to_owned(),
    ]);
    lines
}

#[test]
fn an_oops_of_sixty_lines_is_one_event() {
    let lines = oops(1, 4242, "foo_exit", 1);
    assert!(lines.len() >= 60);
    let mut all: Vec<&str> = lines.iter().map(String::as_str).collect();
    all.extend([
        "usb 1-1: new high-speed USB device number 5",
        "I/O error, dev sdb, sector 1 op 0x1:(WRITE)",
    ]);
    let events = of_kernel(&all);
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0].class, "kernel-oops");
    assert_eq!(events[0].subject.to_string(), "process rmmod1 (4242)");
    assert_eq!(events[0].function.as_deref(), Some("foo_exit"));
    assert!(events[0].text.starts_with("BUG: kernel NULL pointer"));
    assert_eq!(events[1].class, "io-error");
}

#[test]
fn a_bug_after_a_broken_list_is_one_event_of_the_graver_class() {
    let events = of_kernel(&[
        "list_del corruption, ffff8881->next is LIST_POISON1 (dead000000000100)",
        "------------[ cut here ]------------",
        "kernel BUG at lib/list_debug.c:56!",
        "invalid opcode: 0000 [#1] PREEMPT SMP NOPTI",
        "CPU: 0 UID: 0 PID: 77 Comm: a b Not tainted 6.18.0 #1 PREEMPT(lazy)",
        "RIP: 0010:__list_del_entry_valid+0x5c/0x80",
        "---[ end trace 0000000000000000 ]---",
    ]);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].class, "memory-corruption");
    assert_eq!(events[0].subject.to_string(), "process a b (77)");
    assert_eq!(events[0].function.as_deref(), Some("__list_del_entry_valid"));
}

#[test]
fn a_warning_is_one_event_with_its_function() {
    let events = of_kernel(&[
        "------------[ cut here ]------------",
        "refcount_t: underflow; use-after-free.",
        "WARNING: CPU: 1 PID: 4242 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110",
        "Modules linked in: foo(OE) bar",
        "CPU: 1 PID: 4242 Comm: kworker/1:2 Not tainted 5.10.0-28-amd64 #1 Debian",
        "RIP: 0010:refcount_warn_saturate+0xba/0x110",
        "Call Trace:",
        " foo_put+0x1/0x2 [foo]",
        "---[ end trace 9f2b1d2f3c4d5e6f ]---",
    ]);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(
        (events[0].class.as_str(), events[0].subject.name.as_str()),
        ("kernel-warning", "refcount_warn_saturate")
    );
}

#[test]
fn a_hung_task_names_the_function_that_waits() {
    let events = of_kernel(&[
        "INFO: task dd:5312 blocked for more than 120 seconds.",
        "      Not tainted 6.1.0-18-amd64 #1 Debian 6.1.76-1",
        "\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\" disables this message.",
        "task:dd              state:D stack:0     pid:5312  ppid:5300   flags:0x00004002",
        "Call Trace:",
        " <TASK>",
        " __schedule+0x34d/0x9e0",
        " schedule+0x5a/0xd0",
        " io_schedule+0x42/0x70",
        " folio_wait_bit_common+0x13d/0x350",
        " </TASK>",
    ]);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].function.as_deref(), Some("folio_wait_bit_common"));
}

#[test]
fn mixed_oopses_of_two_cpus_are_two_events() {
    let (a, b) = (oops(0, 10, "first", 1), oops(1, 20, "second", 2));
    let mixed: Vec<&str> = a.iter().zip(&b).flat_map(|(a, b)| [a.as_str(), b.as_str()]).collect();
    let events = of_kernel(&mixed);
    let found: Vec<(String, Option<&str>)> =
        events.iter().map(|event| (event.subject.to_string(), event.function.as_deref())).collect();
    assert_eq!(
        found,
        [
            ("process rmmod0 (10)".to_owned(), Some("first")),
            ("process rmmod1 (20)".to_owned(), Some("second")),
        ]
    );
}

#[test]
fn mixed_oopses_are_told_apart_by_their_caller_in_any_order() {
    let (a, b) = (oops(0, 10, "first", 1), oops(1, 20, "second", 2));
    let mut records = Vec::new();
    for (nth, line) in b.iter().take(9).enumerate() {
        records.push((line, "C1", nth as u64));
    }
    records.extend(a.iter().map(|line| (line, "C0", 100)));
    records.extend(b.iter().skip(9).map(|line| (line, "C1", 200)));
    let records: Vec<(Record, Origin)> = records
        .into_iter()
        .map(|(line, caller, at)| {
            let mut record = record(line, at);
            record.fields.push(("caller".to_owned(), caller.to_owned()));
            (record, KERNEL)
        })
        .collect();
    let mut found: Vec<(String, Option<String>)> =
        run(&records).into_iter().map(|event| (event.subject.to_string(), event.function)).collect();
    found.sort();
    assert_eq!(
        found,
        [
            ("process rmmod0 (10)".to_owned(), Some("first".to_owned())),
            ("process rmmod1 (20)".to_owned(), Some("second".to_owned())),
        ]
    );
}

#[test]
fn an_oops_without_an_end_is_an_event_after_a_pause() {
    let mut events = Events::new();
    let mut found = Vec::new();
    for (nth, line) in oops(0, 10, "first", 1).iter().take(30).enumerate() {
        events.feed(&record(line, nth as u64), KERNEL, &mut found);
    }
    assert!(found.is_empty());
    events.sweep(UnixNs(1_700_000_000 * SECOND + 3 * SECOND), &mut found);
    assert_eq!(found.len(), 1);
    let endless: Vec<String> = (0..100_000).map(|nth| format!(" call_{nth}+0x1/0x2")).collect();
    for line in &endless {
        events.feed(&record(line, 4_000), KERNEL, &mut found);
    }
    assert_eq!(found.len(), 1, "lines outside of a trace are nothing");
}
