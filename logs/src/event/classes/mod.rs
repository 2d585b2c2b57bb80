//! The tables of classes. The first class whose rule matches a line has it, so classes whose lines begin with foreign words
//! (a process's name) come first.

mod fault;
mod filesystem;
mod hardware;
mod host;
mod limit;
mod lockup;
mod memory;
mod network;
mod process;
mod storage;
mod unit;

pub(super) use unit::RESTART_SCHEDULED;

use super::class::Class;

/// All tables, in the order in which they are tried.
pub(super) static TABLES: [&[Class]; 11] = [
    process::CLASSES,
    memory::CLASSES,
    lockup::CLASSES,
    fault::CLASSES,
    storage::CLASSES,
    filesystem::CLASSES,
    hardware::CLASSES,
    network::CLASSES,
    limit::CLASSES,
    host::CLASSES,
    unit::CLASSES,
];
