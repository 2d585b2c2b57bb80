//! The host from `/proc`: CPU, memory, disks, network, pressure.

/// What the host did in a window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostSample {}
