//! Names of threads, each kept once: a host has few.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::abi::COMM_LEN;

use super::process::comm_str;

/// Most names in the table; then it is cleared.
const MAX_NAMES: usize = 8192;

/// Names as the kernel writes them, and as text.
#[derive(Debug, Default)]
pub(super) struct Comms(HashMap<[u8; COMM_LEN], Arc<str>>);

impl Comms {
    /// A name as text, shared with those who asked for it before.
    pub(super) fn get(&mut self, comm: &[u8; COMM_LEN]) -> Arc<str> {
        if let Some(known) = self.0.get(comm) {
            return Arc::clone(known);
        }
        if self.0.len() >= MAX_NAMES {
            self.0.clear();
        }
        let name: Arc<str> = comm_str(comm).as_ref().into();
        self.0.insert(*comm, Arc::clone(&name));
        name
    }
}
