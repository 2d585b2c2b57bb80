//! A C program whose functions are asked for, and what the tests ask with.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test program takes a part of it")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use agent_common::units::MonoNs;
use flamegraphs::{Symbolizer, SymbolizerOptions};
use profile::{FoldOptions, Folded, Sample};

/// Prints two functions' addresses and its PID as it sees itself, puts a copy of a function into anonymous
/// memory, prints that address, and waits for its input to end.
pub const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
__attribute__((noinline)) int d(int x) { __asm__ volatile(""); return x + 1; }
__attribute__((noinline)) int work_of_the_test(int x) { __asm__ volatile(""); return d(x) + 2; }
int main(void) {
    char *jit = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (jit == MAP_FAILED) return 1;
    memcpy(jit, (void *)d, 16);
    printf("%lx %lx %lx %d\n", (unsigned long)d, (unsigned long)work_of_the_test, (unsigned long)jit, getpid());
    fflush(stdout);
    return getchar() + work_of_the_test(1) == 0;
}
"#;

/// The program, running.
pub struct Running {
    pub child: Child,
    pub tgid: u32,
    pub d: u64,
    pub work: u64,
    pub jit: u64,
    pub own_pid: u32,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start the program");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.len(), 4, "the program printed {line:?}");
        let hex = |word: &str| u64::from_str_radix(word, 16).unwrap();
        Self {
            tgid: child.id(),
            child,
            d: hex(words[0]),
            work: hex(words[1]),
            jit: hex(words[2]),
            own_pid: words[3].parse().unwrap(),
        }
    }

    pub fn end(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }

    /// A stack in `d`, called by `work_of_the_test`.
    pub fn sample(&self) -> Sample {
        sample(self.tgid, &[self.d + 1, self.work + 2])
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn compile(dir: &Path, name: &str, flags: &[&str]) -> PathBuf {
    let (source, program) = (dir.join(format!("{name}.c")), dir.join(name));
    fs::write(&source, PROGRAM).unwrap();
    let status = Command::new("cc").args(flags).arg("-O1").arg("-o").arg(&program).arg(&source).status();
    assert!(status.expect("a C compiler is needed").success());
    program
}

pub fn sample(tgid: u32, user: &[u64]) -> Sample {
    Sample {
        at: MonoNs(0),
        tgid,
        tid: tgid,
        comm: "test".into(),
        kernel: [].into(),
        user: user.into(),
        weight: 1,
    }
}

pub fn symbolizer() -> Symbolizer {
    Symbolizer::spawn(SymbolizerOptions::default()).unwrap()
}

pub fn fold(symbolizer: &Symbolizer, samples: Vec<Sample>) -> Folded {
    symbolizer.fold(samples, FoldOptions::default()).unwrap()
}

/// The only stack of `folded`.
pub fn only(folded: &Folded) -> &str {
    assert_eq!(folded.stacks.len(), 1, "{:?}", folded.stacks);
    &folded.stacks[0].0
}

/// A test that cannot run has not passed.
pub fn cannot(why: &str) -> ! {
    panic!("NOT RUN: {why}; `cargo xtask test` runs this test as root")
}

/// A file mapped as code.
pub struct Mapped {
    pub addr: u64,
    len: usize,
}

impl Mapped {
    pub fn new(file: &fs::File, len: usize) -> Self {
        use std::os::fd::AsRawFd;
        let prot = libc::PROT_READ | libc::PROT_EXEC;
        // SAFETY: a new mapping of a file that outlives it, at an address of the kernel's choice.
        let addr =
            unsafe { libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
        assert_ne!(addr, libc::MAP_FAILED);
        Self { addr: addr as u64, len }
    }
}

impl Mapped {
    /// Memory without a file.
    pub fn anonymous(len: usize) -> Self {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping of nothing, at an address of the kernel's choice.
        let addr = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
        assert_ne!(addr, libc::MAP_FAILED);
        Self { addr: addr as u64, len }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: what `new` mapped; nothing refers into it.
        unsafe { libc::munmap(self.addr as *mut libc::c_void, self.len) };
    }
}
