//! Loads, attaches and reads the BPF programs. The only place that names aya.
//!
//! [`Probes`] hands out plain values; what they mean is the business of [`crate::source`].

mod arch;
mod btf;
mod caps;
mod descriptors;
mod error;
mod layout;
mod load;
mod mapped;
mod mappings;
mod object;
mod probes;
mod sys;
mod verdict;

pub use arch::supported;
pub use caps::{may_attach, missing_capabilities};
pub use error::StartError;
pub use load::{LoadSpec, raise_memlock};
pub use mappings::{MappingChange, MappingEvent, MappingEvents};
pub use object::source_digest;
pub use probes::{Counters, Probes, Resources, UnwindMaps, WaitRecord};
pub(crate) use verdict::version;
pub use verdict::{State, Verdict, probe_verdicts};
