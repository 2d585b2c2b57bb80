//! Numbers in the bytes of this store.

pub(crate) use agent_common::varint::{Bytes, Damaged, put, size, unzigzag, zigzag};
