//! What user space may change while the programs run.

use agent_common::abi::settings::Settings;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;

#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);

/// The current settings; `None` cannot happen (index 0 of a one-element array) but the verifier asks.
#[inline(always)]
pub(crate) fn get() -> Option<&'static Settings> {
    SETTINGS.get(0)
}
