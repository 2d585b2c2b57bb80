//! Where a window's contents come from: one file a feature.

mod blockio;
mod comms;
mod delta;
pub mod file_locks;
pub mod host;
pub mod in_flight;
mod irq;
pub mod lasting;
mod locks;
mod memory;
mod net;
pub mod offcpu;
pub mod oncpu;
pub mod polled;
pub mod process;
mod python;
pub mod resources;
pub mod runqlat;
pub mod sched;
mod signals;
pub mod sockets;
pub mod spaces;
pub mod standstill;
pub mod syscalls;
pub mod task;
mod touch;
pub mod unwind;
