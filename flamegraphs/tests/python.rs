//! CPython as Debian builds it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use flamegraphs::python::Interpreter;

fn debians() -> PathBuf {
    Path::new("/usr/bin/python3").canonicalize().expect("Debian's python3")
}

#[test]
fn debians_interpreter_is_known() {
    let path = debians();
    let interpreter =
        Interpreter::read(&File::open(&path).expect("its file"), &path).expect("an interpreter");
    assert!((9..=13).contains(&interpreter.minor), "{interpreter:?}");
    // Debian builds by profile, which puts the part of the loop for rare cases elsewhere.
    assert_eq!(interpreter.loop_parts(), 2, "{interpreter:?}");
}

#[test]
fn a_scrambled_file_makes_nothing_panic() {
    let path = debians();
    let mut bytes = fs::read(&path).expect("its file");
    let mut seed = 3_u64;
    for _ in 0..60 {
        let whole = bytes[..4096].to_vec();
        for _ in 0..6 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes[16 + (seed >> 33) as usize % 800] = (seed >> 24) as u8;
        }
        let _ = Interpreter::read(bytes.as_slice(), &path);
        bytes[..4096].copy_from_slice(&whole);
    }
}
