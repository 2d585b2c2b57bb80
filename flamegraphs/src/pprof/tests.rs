use profile::testing::example;
use profile::{FoldOptions, Folded, Roots};

use super::*;

fn written(about: &About) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&example(), about, &mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_written_is_read() {
    let (before, after) = (example(), read(&written(&About::default())[..]).unwrap());
    assert_eq!(after.total(), before.total());
    for roots in [Roots::Comm, Roots::Process, Roots::Thread, Roots::Group] {
        let options = FoldOptions { roots, ..FoldOptions::default() };
        assert_eq!(Folded::new(&after, &options).stacks, Folded::new(&before, &options).stacks);
    }
    let find = |timeline: &Timeline, name: &str| {
        timeline.frames.iter().find(|frame| &*frame.name == name).cloned().unwrap()
    };
    for name in ["work", "inner", "[libz.so.1+0x28]", "vfs_read", "JS:*run"] {
        assert_eq!(find(&after, name), find(&before, name));
    }
}

#[test]
fn weights_are_the_default_or_the_last_sample_type_s() {
    let about = About { period_ns: 10_000_000, ..About::default() };
    assert_eq!(read(&written(&about)[..]).unwrap().total(), 7 * 10_000_000);
    let about = About { unit: Unit::Nanoseconds, ..About::default() };
    assert_eq!(read(&written(&about)[..]).unwrap().total(), 7);
}

#[test]
fn what_is_no_profile_is_refused() {
    assert!(matches!(read(&b"a;b 1\n"[..]), Err(ReadError::Malformed(_))));
    assert!(matches!(read(&b""[..]), Err(ReadError::Malformed(_))));
    assert!(matches!(read(&b"\x1f\x8bxx"[..]), Err(ReadError::Io(_))));
    let bytes = written(&About::default());
    assert!(read(&bytes[..bytes.len() / 2]).is_err());
}

#[test]
fn a_scrambled_profile_gives_an_error_or_less_but_no_panic() {
    let plain = encode(&example(), &About::default());
    let mut seed = 3_u64;
    for _ in 0..3_000 {
        let mut bytes = plain.clone();
        for _ in 0..4 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (seed >> 33) as usize % bytes.len();
            bytes[at] = (seed >> 20) as u8;
        }
        if let Ok(timeline) = read(&bytes[..]) {
            assert!(timeline.is_sound());
        }
    }
}
