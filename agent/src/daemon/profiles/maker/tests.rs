use std::cell::{Cell, RefCell};

use super::super::evidence::EVIDENCE_BYTES;
use super::*;
use agent_common::units::UnixNs;
use diagnosis::testing::full;
use profile::block::Looked;

const START: u64 = 1_800_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn window(n: u64) -> Arc<Window> {
    let mut window = full(n);
    window.end_unix = UnixNs(START + (n + 1) * SECOND);
    Arc::new(window)
}

/// What the threads share, on one.
#[derive(Default)]
struct Seen {
    sent: RefCell<Vec<NewWindow>>,
    /// Questions for names.
    asked: Cell<usize>,
    answers: Cell<usize>,
    left_out: Arc<AtomicU64>,
}

impl Seen {
    fn maker(&self) -> Maker<impl FnMut(Vec<Sample>) -> bool, impl FnMut(NewWindow)> {
        let ask = |_| {
            self.asked.set(self.asked.get() + 1);
            true
        };
        Maker::new(97, Arc::clone(&self.left_out), ask, |block| self.sent.borrow_mut().push(block))
    }

    /// Answers all questions.
    fn answer<A: FnMut(Vec<Sample>) -> bool, S: FnMut(NewWindow)>(&self, maker: &mut Maker<A, S>) {
        maker.go_on();
        while self.answers.get() < self.asked.get() {
            self.answers.set(self.answers.get() + 1);
            maker.named(Ok(Names::default()));
            maker.go_on();
        }
    }

    fn samples(&self) -> Vec<(u64, u64, u64)> {
        let sums = |one: &NewWindow| {
            let block = unpack(&one.body).unwrap();
            ((block.from.0 - START) / SECOND, block.total(Looked::Cpu).0, block.total(Looked::Wait).0)
        };
        self.sent.borrow().iter().map(sums).collect()
    }
}

#[test]
fn a_block_is_handed_on_when_its_minute_is_over_and_named() {
    let seen = Seen::default();
    let mut maker = seen.maker();
    for n in 30..180 {
        maker.window(window(n));
        seen.answer(&mut maker);
    }
    assert_eq!(seen.samples(), [(0, 90, 120), (60, 180, 240)]);
    assert_eq!(seen.sent.borrow()[0].end, UnixNs(START + 60 * SECOND));
    maker.window(window(180));
    maker.go_on();
    assert_eq!(seen.samples().len(), 2, "it waits for its names, and what comes meanwhile is taken");
    (181..200).for_each(|n| maker.window(window(n)));
    seen.answer(&mut maker);
    assert_eq!(seen.samples()[2..], [(120, 180, 240)]);
}

#[test]
fn what_is_there_at_the_end_is_named_and_handed_on() {
    let seen = Seen::default();
    let (work, queue) = std::sync::mpsc::sync_channel(100);
    (0..70).for_each(|n| work.send(Work::Window(window(n))).unwrap());
    work.send(Work::Close).unwrap();
    (0..5).for_each(|_| work.send(Work::Named(Ok(Names::default()))).unwrap());
    seen.maker().run(&queue);
    assert_eq!(seen.samples(), [(0, 180, 240), (60, 30, 40)]);
}

#[test]
fn what_cannot_be_named_is_counted() {
    let seen = Seen::default();
    let send = |block| seen.sent.borrow_mut().push(block);
    let mut maker = Maker::new(97, Arc::default(), |_| false, send);
    for n in 0..61 {
        maker.window(window(n));
        maker.go_on();
    }
    let block = unpack(&seen.sent.borrow()[0].body).unwrap();
    assert_eq!(block.counters["windows without names"], 60);
    // Nobody answers.
    let mut maker = seen.maker();
    for n in 0..200 {
        maker.window(window(n));
        maker.go_on();
    }
    assert_eq!(seen.left_out.load(Ordering::Relaxed), 200 - MAX_UNNAMED);
}

#[test]
fn evidence_goes_out_at_once_as_it_is_and_again_with_all_names() {
    let seen = Seen::default();
    let mut maker = seen.maker();
    for n in 0..630 {
        maker.window(window(n));
        seen.answer(&mut maker);
    }
    seen.sent.borrow_mut().clear();
    let at = UnixNs(START + 630 * SECOND);
    maker.evidence(vec!["a".to_owned(), "b".to_owned()], at);
    maker.go_on();
    assert_eq!(seen.sent.borrow().len(), 1, "nobody has given a name");
    let evidence = unpack(&seen.sent.borrow()[0].body).unwrap();
    assert_eq!((evidence.alerts.as_slice(), evidence.to()), (&["a".to_owned(), "b".to_owned()][..], at));
    assert_eq!(evidence.from, UnixNs(at.0 - 300 * SECOND));
    assert_eq!(evidence.total(Looked::Cpu).0, 3 * 300);
    // What comes meanwhile, the next minute too, is not in it.
    (630..670).for_each(|n| maker.window(window(n)));
    seen.answer(&mut maker);
    let named = unpack(&seen.sent.borrow()[1].body).unwrap();
    assert_eq!((named.alerts.len(), named.to()), (2, at));
    assert_eq!(
        (named.total(Looked::Cpu), named.total(Looked::Wait)),
        (evidence.total(Looked::Cpu), evidence.total(Looked::Wait))
    );
    assert_eq!(seen.samples()[2..], [(600, 180, 240)]);
}

#[test]
fn evidence_of_many_stacks_fits_and_has_the_heaviest() {
    let seen = Seen::default();
    let mut maker = seen.maker();
    for n in 0..120 {
        let mut window = Window::clone(&window(n));
        let sample = window.samples[0].clone();
        let mut noise = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n + 1);
        for tgid in 0..500 {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            let comm = format!("{noise:016x}").into();
            window.samples.push(Sample { tgid: 1000 + tgid, comm, weight: 1, ..sample.clone() });
        }
        maker.window(Arc::new(window));
        seen.answer(&mut maker);
    }
    maker.evidence(vec!["a".to_owned()], UnixNs(START + 120 * SECOND));
    let sent = seen.sent.borrow();
    let message = &sent.last().unwrap().body;
    assert!(message.len() <= EVIDENCE_BYTES, "{}", message.len());
    let evidence = unpack(message).unwrap();
    assert!(evidence.groups.iter().any(|group| group.tgid == 42), "the heaviest is in it");
    assert!(evidence.cpu.len() >= 1000, "{}", evidence.cpu.len());
}
