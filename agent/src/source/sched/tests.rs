use agent_common::units::DurNs;

use super::*;

const MS: u64 = 1_000_000;

fn slot(tid: u32, state: State, since: u64, seq: u32, ns: &[(State, u64)]) -> SchedSlot {
    let mut slot = SchedSlot {
        tid,
        tgid: 7,
        since_ns: since,
        seq,
        state: state as u8,
        born_ns: 1,
        ..SchedSlot::default()
    };
    for (state, ns) in ns {
        slot.ns[*state as usize] = *ns;
    }
    slot.comm[..4].copy_from_slice(b"work");
    slot
}

fn close(source: &mut SchedSource, now: u64) -> ProcessTimes {
    let rows = source.close(MonoNs(now), |_| "work".into());
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.into_iter().next().expect("one")
}

fn total(states: &[(State, DurNs)]) -> u64 {
    states.iter().map(|(_, ns)| ns.0).sum()
}

#[test]
fn states_add_up_to_the_window_with_the_open_one() {
    let mut source = SchedSource::default();
    source.thread(&slot(9, State::Sleep, 100 * MS, 2, &[(State::Oncpu, 50 * MS)]), MonoNs(500 * MS));
    source.begin(MonoNs(500 * MS));
    source.close(MonoNs(500 * MS), |_| "".into());
    // Slept to 900, ran to 1100, sleeps again.
    let now = [(State::Oncpu, 250 * MS), (State::Sleep, 800 * MS)];
    source.thread(&slot(9, State::Sleep, 1100 * MS, 6, &now), MonoNs(1500 * MS));
    let row = close(&mut source, 1500 * MS);
    assert_eq!(row.states, [(State::Oncpu, DurNs(200 * MS)), (State::Sleep, DurNs(800 * MS))]);
    assert_eq!(row.threads[0].now.map(|open| open.age), Some(DurNs(400 * MS)));
    assert!(row.resting.is_empty() && row.oldest.is_none(), "a sleep is idle: {row:?}");
}

#[test]
fn a_thread_blocked_throughout_rests_and_has_its_age() {
    let mut source = SchedSource::default();
    source.begin(MonoNs(0));
    source.thread(&slot(9, State::Ipc, 100 * MS, 2, &[]), MonoNs(1000 * MS));
    source.close(MonoNs(1000 * MS), |_| "".into());
    source.thread(&slot(9, State::Ipc, 100 * MS, 2, &[]), MonoNs(2000 * MS));
    let row = close(&mut source, 2000 * MS);
    assert_eq!(row.states, [(State::Ipc, DurNs(1000 * MS))]);
    assert_eq!(row.resting, [(State::Ipc, 1)]);
    assert!(row.threads.is_empty());
    assert_eq!(row.oldest.map(|open| (open.tid, open.age)), Some((Tid(9), DurNs(1900 * MS))));
}

#[test]
fn a_thread_that_runs_throughout_has_a_row() {
    let mut source = SchedSource::default();
    source.begin(MonoNs(0));
    source.thread(&slot(9, State::Oncpu, 100 * MS, 2, &[]), MonoNs(1000 * MS));
    source.close(MonoNs(1000 * MS), |_| "".into());
    source.thread(&slot(9, State::Oncpu, 100 * MS, 2, &[]), MonoNs(2000 * MS));
    let row = close(&mut source, 2000 * MS);
    assert!(row.resting.is_empty(), "{row:?}");
    assert_eq!(row.threads[0].states, [(State::Oncpu, DurNs(1000 * MS))]);
}

#[test]
fn a_state_that_turns_out_to_be_another_leaves_nothing_negative() {
    let mut source = SchedSource::default();
    source.begin(MonoNs(0));
    source.thread(&slot(9, State::Ipc, 600 * MS, 2, &[(State::Oncpu, 600 * MS)]), MonoNs(1000 * MS));
    source.close(MonoNs(1000 * MS), |_| "".into());
    // The 400 ms that looked blocked were in the queue: woken while it was leaving.
    let now = [(State::Oncpu, 600 * MS), (State::RunqWoken, 900 * MS)];
    source.thread(&slot(9, State::Oncpu, 1500 * MS, 4, &now), MonoNs(2000 * MS));
    let row = close(&mut source, 2000 * MS);
    assert_eq!(total(&row.states), 1000 * MS, "{row:?}");
    assert_eq!(row.states, [(State::Oncpu, DurNs(500 * MS)), (State::RunqWoken, DurNs(500 * MS))]);
}

#[test]
fn a_slot_that_changed_after_the_end_is_not_counted_beyond_it() {
    let mut source = SchedSource::default();
    source.begin(MonoNs(0));
    // Read at 1002, the window ends at 1000: it ran to 1001.
    let now = [(State::Oncpu, 1001 * MS)];
    source.thread(&slot(9, State::Sleep, 1001 * MS, 2, &now), MonoNs(1000 * MS));
    let row = close(&mut source, 1000 * MS);
    assert_eq!(row.states, [(State::Oncpu, DurNs(1000 * MS))]);
    source.thread(&slot(9, State::Sleep, 1001 * MS, 2, &now), MonoNs(2000 * MS));
    let row = close(&mut source, 2000 * MS);
    assert_eq!(total(&row.states), 1000 * MS, "{row:?}");
}

#[test]
fn a_short_life_is_whole_and_its_number_starts_over() {
    let mut source = SchedSource::default();
    source.begin(MonoNs(0));
    let mut dead = slot(9, State::Oncpu, 30 * MS, 8, &[(State::Oncpu, 20 * MS), (State::DiskRead, 9 * MS)]);
    (dead.state, dead.flags) = (DEAD, FLAG_NEW);
    source.thread(&dead, MonoNs(50 * MS));
    let mut second = slot(9, State::Oncpu, 70 * MS, 2, &[(State::RunqWoken, 3 * MS)]);
    (second.born_ns, second.flags) = (67 * MS, FLAG_NEW);
    source.thread(&second, MonoNs(100 * MS));
    let row = close(&mut source, 100 * MS);
    assert_eq!(row.threads.len(), 2);
    assert_eq!(row.threads[0].now, None);
    let expected =
        [(State::Oncpu, DurNs(50 * MS)), (State::RunqWoken, DurNs(3 * MS)), (State::DiskRead, DurNs(9 * MS))];
    assert_eq!(row.states, expected);
    assert_eq!(source.threads(), 1);
}
