//! The collector: sources → window → aggregate → diagnose → sinks, and the command line around it.

pub mod aggregate;
pub mod bench_probe;
pub mod bpf;
pub mod cli;
mod clock;
pub mod collector;
pub mod config;
pub mod control;
pub mod daemon;
pub mod doctor;
mod heap;
pub mod history;
mod logs;
mod namespaces;
pub mod notify;
pub mod observer;
pub mod outbox;
pub mod output;
mod progress;
pub mod recording;
mod replace;
pub mod source;
