use agent_common::units::MonoNs;

use super::*;
use crate::coverage::Unnamed;
use crate::names::FrameName;
use crate::options::Parts;

fn sample(comm: &str, user: &[u64], kernel: &[u64], weight: u64) -> Sample {
    Sample {
        at: MonoNs(0),
        tgid: 7,
        tid: 8,
        comm: comm.into(),
        kernel: kernel.into(),
        user: user.into(),
        weight,
    }
}

/// Leaf at 10, its callers' call sites at 20 and 30 (return addresses 21 and 31); kernel the same from 100.
fn names() -> Names {
    let mut names = Names::default();
    for (addr, name) in [(10, "leaf"), (20, "mid"), (30, "main")] {
        names.set_user(7, addr, FrameName::named(name.into()));
    }
    for (addr, name) in [(100, "k_leaf"), (110, "k_entry")] {
        names.set_kernel(addr, FrameName::named(name.into()));
    }
    names
}

fn text(folded: &Folded) -> String {
    let lines: Vec<String> =
        folded.stacks.iter().map(|(stack, weight)| format!("{stack} {weight}\n")).collect();
    lines.concat()
}

#[test]
fn stacks_are_reversed_once_with_the_kernel_on_top() {
    let samples = [sample("app", &[10, 21, 31], &[100, 111], 3)];
    let folded = fold(&samples, &names(), &FoldOptions::default());
    assert_eq!(text(&folded), "app;main;mid;leaf;k_entry_[k];k_leaf_[k] 3\n");
    let plain = FoldOptions { annotate: false, ..FoldOptions::default() };
    assert_eq!(text(&fold(&samples, &names(), &plain)), "app;main;mid;leaf;k_entry;k_leaf 3\n");
}

#[test]
fn the_kernel_s_part_and_the_user_s_can_be_taken_alone() {
    let samples = [sample("app", &[10, 31], &[100], 1), sample("app", &[31], &[], 1)];
    let folded = |parts| text(&fold(&samples, &names(), &FoldOptions { parts, ..FoldOptions::default() }));
    assert_eq!(folded(Parts::Kernel), "app 1\napp;k_leaf_[k] 1\n");
    assert_eq!(folded(Parts::User), "app;[unknown] 1\napp;main;leaf 1\n");
}

#[test]
fn a_reason_and_the_waker_upside_down_stand_on_the_leaf() {
    let mut names = names();
    names.set_user(9, 50, FrameName::named("w_leaf".into()));
    names.set_user(9, 60, FrameName::named("w_main".into()));
    let waker = Sample { tgid: 9, ..sample("poker", &[50, 61], &[100], 0) };
    let one = Stacked {
        sample: sample("app", &[10, 31], &[100], 5),
        reason: Some("[futex_lock]".into()),
        waker: Some(waker),
        ..Stacked::from(sample("app", &[10, 31], &[100], 5))
    };
    let folded = fold_stacked(&[one], &names, &FoldOptions::default());
    let expected = "app;main;leaf;k_leaf_[k];[futex_lock];k_leaf_[w];w_leaf_[w];w_main_[w];poker_[w]";
    assert_eq!(folded.stacks, [(expected.to_owned(), 5)]);
    assert_eq!((folded.names.frames, folded.names.named), (6, 6));
}

#[test]
fn equal_stacks_merge_and_weights_add_up() {
    let samples = [
        sample("app", &[10, 31], &[], 1),
        sample("app", &[10, 31], &[], 4),
        sample("app", &[31], &[], 2),
        sample("b", &[10, 31], &[], 8),
        sample("zero", &[10], &[], 0),
    ];
    let mut names = names();
    names.set_user(7, 31, FrameName::named("main".into()));
    let folded = fold(&samples, &names, &FoldOptions::default());
    assert_eq!(text(&folded), "app;main 2\napp;main;leaf 5\nb;main;leaf 8\n");
    assert_eq!(folded.total(), 15);
}

#[test]
fn weights_saturate() {
    let samples = [sample("a", &[10], &[], u64::MAX), sample("a", &[10], &[], u64::MAX)];
    let folded = fold(&samples, &names(), &FoldOptions::default());
    assert_eq!(folded.stacks, [("a;leaf".to_owned(), u64::MAX)]);
}

#[test]
fn roots_separate_processes_and_threads() {
    let one = sample("a b", &[10], &[], 1);
    let two = Sample { tid: 9, ..one.clone() };
    let folded = |roots| {
        let options = FoldOptions { roots, ..FoldOptions::default() };
        text(&fold(&[one.clone(), two.clone()], &names(), &options))
    };
    assert_eq!(folded(Roots::Comm), "a b;leaf 2\n");
    assert_eq!(folded(Roots::Process), "a b-7;leaf 2\n");
    assert_eq!(folded(Roots::Thread), "a b-7/8;leaf 1\na b-7/9;leaf 1\n");
    assert_eq!(folded(Roots::None), "leaf 2\n");
    let inside = Stacked { group: Some("c0ffee".into()), ..Stacked::from(two.clone()) };
    let options = FoldOptions { roots: Roots::Group, ..FoldOptions::default() };
    let folded = fold_stacked(&[inside, one.clone().into()], &names(), &options);
    assert_eq!(text(&folded), "[host];a b;leaf 1\nc0ffee;a b;leaf 1\n");
}

#[test]
fn a_sample_without_frames_is_not_lost() {
    let samples = [sample("app", &[], &[], 1), sample("", &[], &[], 2)];
    assert_eq!(text(&fold(&samples, &names(), &FoldOptions::default())), "? 2\napp 1\n");
    let bare = FoldOptions { roots: Roots::None, ..FoldOptions::default() };
    assert_eq!(text(&fold(&samples, &names(), &bare)), "[no stack] 3\n");
}

#[test]
fn coverage_counts_each_frame_by_reason() {
    let mut names = names();
    names.set_user(7, 40, FrameName::unnamed("[libfoo.so+0x28]", Unnamed::Stripped));
    names.set_user(7, 50, FrameName { jit: true, ..FrameName::named("Lapp;run".into()) });
    let samples = [sample("app", &[10, 41, 51, 99], &[100], 1000)];
    let folded = fold(&samples, &names, &FoldOptions::default());
    assert_eq!(text(&folded), "app;[unknown];Lapp:run_[j];[libfoo.so+0x28];leaf;k_leaf_[k] 1000\n");
    let coverage = &folded.names;
    assert_eq!((coverage.frames, coverage.named), (5, 3));
    assert_eq!((coverage.kernel_frames, coverage.kernel_named), (1, 1));
    assert_eq!(coverage.unnamed[&Unnamed::Stripped], 1);
    assert_eq!(coverage.unnamed[&Unnamed::Failed], 1);
}

#[test]
fn a_run_of_addresses_that_are_nowhere_is_one_hole() {
    let mut names = names();
    for addr in [1000, 1001, 1002, 1003] {
        names.set_user(7, addr, FrameName::unnamed("[unknown]", Unnamed::Unmapped));
    }
    let samples = [sample("app", &[10, 1001, 1002, 1003, 21, 1004], &[], 1)];
    let folded = fold(&samples, &names, &FoldOptions::default());
    assert_eq!(text(&folded), "app;[unknown];mid;[unknown];leaf 1\n");
    assert_eq!((folded.names.frames, folded.names.unnamed[&Unnamed::Unmapped]), (4, 2));
}

#[test]
fn a_frame_and_its_namesake_with_a_suffix_stay_apart_in_order() {
    let mut names = Names::default();
    for (addr, name) in [(1, "foo"), (2, "foo.part.0"), (3, "bar")] {
        names.set_user(7, addr, FrameName::named(name.into()));
    }
    let samples = [sample("a", &[3, 2], &[], 1), sample("a", &[2], &[], 1), sample("a", &[1], &[], 1)];
    let mut deep = samples[0].clone();
    names.set_user(7, 4, FrameName::named("foo".into()));
    deep.user = [3, 5].into();
    let folded = fold(&[samples.as_slice(), &[deep]].concat(), &names, &FoldOptions::default());
    let stacks: Vec<_> = folded.stacks.iter().map(|(stack, _)| stack.as_str()).collect();
    assert_eq!(stacks, ["a;foo", "a;foo;bar", "a;foo.part.0"]);
}

#[test]
fn names_that_look_like_counts_or_comments_do_not_break_the_line() {
    for (name, want) in [
        ("worker 5", "worker_5"),
        ("kworker/0:1", "kworker/0:1"),
        ("a 1 2", "a 1_2"),
        ("v 1.5", "v_1.5"),
        ("# note", "#_note"),
        ("  padded  ", "padded"),
        ("x;y\nz\tw\r", "x:y\\nz\\tw"),
        ("bell\u{7}\u{fffe}", "bell\\u{7}\\u{fffe}"),
        ("", "?"),
        (" \n", "?"),
        ("operator new(unsigned long)", "operator new(unsigned long)"),
    ] {
        assert_eq!(frame_text(name, ""), want, "{name:?}");
    }
}

/// Whatever the names, the text reads back as the same stacks and weights.
#[test]
fn any_names_give_lines_that_read_back() {
    let alphabet: Vec<char> =
        " ;\n\r\t#0123456789.-_[]k()<>&'\"aé\u{0}\u{7f}\u{85}\u{2028}\u{202e}\u{200b}\u{e0041}\u{fffe}日"
            .chars()
            .collect();
    let mut seed = 42_u64;
    let mut next = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for _ in 0..3_000 {
        let mut word =
            |max: usize| -> String { (0..next(max)).map(|_| alphabet[next(alphabet.len())]).collect() };
        let (comm, names_of) = (word(16), [word(12), word(12), word(12)]);
        let mut names = Names::default();
        for (addr, name) in (1..).zip(&names_of) {
            names.set_user(7, addr, FrameName::named(Arc::from(name.as_str())));
        }
        let folded = fold(&[sample(&comm, &[1, 3, 4], &[], 5)], &names, &FoldOptions::default());
        let text = text(&folded);
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert_eq!(text.matches('\n').count(), 1);
        let line = text.strip_suffix('\n').unwrap();
        assert_eq!(line, line.trim(), "{text:?}");
        assert!(!line.starts_with("# "), "{text:?}");
        let (stack, weight) = line.rsplit_once(' ').unwrap();
        assert_eq!(weight, "5");
        assert_eq!(stack.split(';').count(), 4, "{text:?}");
        assert!(stack.split(';').all(|frame| !frame.is_empty()), "{text:?}");
        let last = stack.rsplit(' ').next().unwrap();
        let number = last.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        assert!(!stack.contains(' ') || !number, "{text:?}");
        assert!(!line.chars().any(agent_common::text::is_hostile), "{text:?}");
    }
}
