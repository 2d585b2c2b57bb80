//! Faults of known cause, live: one of each kind of rule. All of them: `cargo xtask bench diagnosis`.

use tests::diagnosis::run::{Outcome, run};
use tests::diagnosis::watch::Watch;
use tests::diagnosis::{Case, cases};

/// 16 s each. Their faults do so much harm that a busy machine does not hide it, and they need nothing but a kernel.
const CASES: [&str; 11] = [
    "tiny-reads",
    "neighbour",
    "quota-threads",
    "futex",
    "file-lock",
    "slow-consumer",
    "try-lock",
    "slow-holder",
    "no-connection",
    "refused",
    "hang",
];

fn outcome(case: &Case, watch: &mut Watch) -> Outcome {
    let outcome = run(case, watch, false, None).unwrap_or_else(|error| panic!("{error:#}"));
    println!("{outcome}");
    outcome
}

/// One test, so that no two of them run at a time.
#[test]
fn faults_are_alerts_with_their_culprit_within_ten_seconds() {
    if !tests::can_observe() {
        return;
    }
    let mut watch = Watch::start(Vec::new()).expect("the probes load");
    let (mut found, mut wrong, mut void, mut twice) = (0, Vec::new(), Vec::new(), Vec::new());
    for name in CASES {
        let case = cases::named(name).expect("one of the cases");
        // What else this machine did for a moment may do the victim more harm than its fault, or rob the clean phase of
        // what the fault would take: once more.
        let first = outcome(case, &mut watch);
        let last = if first.is_right() {
            first
        } else {
            twice.push(name);
            outcome(case, &mut watch)
        };
        if last.is_right() {
            found += 1;
        } else if last.is_void() {
            void.push(name);
        } else {
            wrong.push(name);
        }
    }
    println!("{found} faults found; run twice: {twice:?}; void in both tries: {void:?}");
    assert!(wrong.is_empty(), "{wrong:?}");
    // A fault that did no harm need not be found, but most must have done harm.
    assert!(found + 2 >= CASES.len(), "only {found} of {} were found; void: {void:?}", CASES.len());
}
