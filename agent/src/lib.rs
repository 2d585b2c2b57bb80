//! The collector: sources → window → aggregate → diagnose → sinks, and the command line around it.

pub mod aggregate;
pub mod alert;
pub mod bench_probe;
pub mod bpf;
pub mod cli;
mod clock;
pub mod collector;
pub mod config;
pub mod control;
pub mod daemon;
pub mod diagnose;
pub mod doctor;
pub mod history;
pub mod notify;
pub mod observer;
pub mod recording;
pub mod sink;
pub mod source;
pub mod syscall_names;
pub mod window;
