//! Old time at coarser steps, against the same model.

use agent_common::units::DurNs;
use promql::{Query, Value};

use super::model::put_together;
use super::*;

const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

fn options() -> Options {
    Options {
        written_age: Duration::from_mins(20),
        ten_seconds_age: Duration::from_mins(170),
        ..Options::default()
    }
}

/// Two streams over eleven hours; only at first do windows come late, so that what they are in is together at the end. Of a level that
/// not every window has, the last is then not known: windows that come late are put together with a step, not with its windows.
fn sent(rng: &mut Rng, late: bool) -> Vec<Sent> {
    let mut all = stream(rng, "h", "0000000000000001", 0, 4_100);
    all.extend(stream(rng, "i", "0000000000000002", 3_000, 900));
    if !late {
        all.sort_by_key(|one| one.head.end);
        return all;
    }
    for row in all.iter_mut().flat_map(|one| &mut one.rows) {
        row.leave_counters_of_processes();
    }
    let late_until = T0 + 4 * HOUR;
    let (early, mut rest): (Vec<Sent>, Vec<Sent>) =
        all.into_iter().partition(|one| one.head.end.0 < late_until);
    rest.sort_by_key(|one| one.head.end);
    let mut all = arrivals(rng, early);
    all.extend(rest);
    all
}

/// All of it rolled, also what came last: the store is opened once more for that.
fn settled(dir: &Path, options: &Options) -> EmbeddedStore {
    let at_once = Options { silent: Duration::ZERO, ..options.clone() };
    let store = EmbeddedStore::open(dir, at_once).expect("open");
    store.settle().expect("settle");
    store
}

/// How long the step is that a window's end is in, when this is the newest.
fn step_of(newest: u64, options: &Options) -> impl Fn(u64) -> u64 {
    let before = |age: Duration| newest - age.as_nanos() as u64;
    let (written, ten_seconds) = (before(options.written_age), before(options.ten_seconds_age));
    move |end: u64| {
        let slot_end = |length: u64| (end / length + 1) * length;
        match () {
            () if slot_end(HOUR) <= ten_seconds => MINUTE,
            () if slot_end(10 * MINUTE) <= written => 10 * SECOND,
            () => 0,
        }
    }
}

#[test]
fn old_time_is_there_at_its_steps_without_gap_or_double_and_sums_are_what_they_were() {
    for seed in 1..=4 {
        let mut rng = Rng(seed);
        let all = sent(&mut rng, seed % 2 == 0);
        let dir = tempfile::tempdir().expect("tempdir");
        let store = EmbeddedStore::open(dir.path(), options()).expect("open");
        for one in &all {
            store.write(&[one.window()]).expect("write");
        }
        store.close().expect("close");
        let store = settled(dir.path(), &options());
        let reader = store.reader().expect("reader");
        let written = once(&all);
        let counts = reader.counts().expect("counts");
        assert_eq!((counts.windows, counts.head_windows), (written.len() as u64, 0), "seed {seed}");
        let newest = written.iter().map(|one| one.head.end.0).max().expect("windows");
        let thinned = put_together(&written, step_of(newest, &options()));
        let of = |step: u64| thinned.iter().filter(|one| one.step == step).count();
        assert!([0, 10 * SECOND, MINUTE].iter().all(|step| of(*step) > 100), "all steps are there");
        assert_alike(&mut rng, &reader, &model(&thinned), 0);
        assert_sums(&reader, &written, newest);
        assert_levels(&reader, &written);
        let checked = reader.check(|_, _| ()).expect("check");
        assert_eq!((checked.damages, checked.damaged), (Vec::new(), 0), "seed {seed}");
        assert!(checked.sums > 100 && checked.slots > 10);
    }
}

/// The amounts of each process over whole minutes, as PromQL adds them up.
fn assert_sums(reader: &Reader, written: &[Sent], newest: u64) {
    let query = Query::parse("sum by (pid, start, host) (sum_over_time(s7mpa_process_user_ns[10m]))")
        .expect("a query");
    for ago in (0..60_u64).step_by(4) {
        let at = (newest / (10 * MINUTE) - ago) * 10 * MINUTE;
        let mut expected: BTreeMap<Vec<String>, f64> = BTreeMap::new();
        for one in written.iter().filter(|one| one.head.end.0 > at - 10 * MINUTE && one.head.end.0 <= at) {
            for (tags, amount) in one.amounts("user_ns") {
                *expected.entry(tags).or_default() += amount as f64;
            }
        }
        let view = reader.view().expect("view");
        let answer = query
            .instant(&view, (at / 1_000_000).cast_signed(), &promql::Options::default())
            .expect("an answer");
        let Value::Vector(found) = answer.value else { panic!("a vector") };
        let found: BTreeMap<Vec<String>, f64> = found
            .iter()
            .map(|one| {
                let tags = ["host", "pid", "start"].map(|name| one.labels.get(name).to_owned());
                (tags.to_vec(), one.sample.value)
            })
            .collect();
        assert_eq!(found, expected, "{ago} × 10 minutes ago");
    }
}

/// Least, greatest, count, mean and last of a level over hours.
fn assert_levels(reader: &Reader, written: &[Sent]) {
    let selection = Selection {
        measurement: "own".into(),
        field: "user_ns".into(),
        tags: vec![("host".into(), "h".into())],
        from: UnixNs(0),
        to: UnixNs(u64::MAX),
    };
    let mut ordered: Vec<&Sent> = written.iter().filter(|one| one.head.host == "h").collect();
    ordered.sort_by_key(|one| one.head.end);
    let mut expected: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for one in ordered {
        let start = one.head.end.0 / HOUR * HOUR;
        expected.entry(start).or_default().push(one.level("own", "user_ns"));
    }
    let steps = reader.query_steps(&selection, DurNs(HOUR)).expect("query").remove(0).1;
    assert_eq!(steps.len(), expected.len());
    for (step, (start, values)) in steps.iter().zip(&expected) {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let want = (
            *start,
            values.len() as u64,
            least,
            greatest,
            values.iter().sum::<f64>(),
            values[values.len() - 1],
        );
        assert_eq!((step.start.0, step.count, step.min, step.max, step.sum, step.last), want);
    }
}

#[test]
fn what_is_damaged_is_named_and_nothing_is_changed() {
    let mut rng = Rng(9);
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path());
    for one in stream(&mut rng, "h", "0000000000000001", 0, 600) {
        store.write(&[one.window()]).expect("write");
    }
    store.close().expect("close");
    let path = dir.path().join(FILE);
    let conn = rusqlite::Connection::open(&path).expect("open");
    let breaks = |sql: &str, name: &str| {
        conn.execute_batch(&format!("BEGIN; {sql};")).expect(sql);
        conn.execute_batch("COMMIT").expect("commit");
        let checked = Reader::open(&path).expect("reader").check(|_, _| ()).expect("check");
        assert!(checked.damages.iter().any(|damage| damage.contains(name)), "{sql}: {:?}", checked.damages);
    };
    assert_eq!(Reader::open(&path).expect("reader").check(|_, _| ()).expect("check").damaged, 0);
    breaks("UPDATE total SET sums = x'0107' WHERE slot = (SELECT max(slot) FROM total)", "running sum");
    breaks("UPDATE head SET body = x'01020304' WHERE id = (SELECT min(id) FROM head)", "window");
    breaks("UPDATE slot SET samples = samples + 1 WHERE id = (SELECT min(id) FROM slot)", "its row says");
    breaks("UPDATE chunk SET body = zeroblob(100) WHERE id = (SELECT max(id) FROM chunk)", "slot");
}
