//! Which capabilities this process has.

use crate::bpf::StartError;

/// The capabilities that the collector needs, with their bit.
const NEEDED_CAPS: [(&str, u32); 3] = [("CAP_BPF", 39), ("CAP_PERFMON", 38), ("CAP_SYS_PTRACE", 19)];
/// Includes `CAP_BPF` and `CAP_PERFMON`.
const CAP_SYS_ADMIN: u32 = 21;

/// Whether this process may attach probes here; if not, the error names what is missing.
pub fn may_attach() -> Result<(), StartError> {
    super::supported()?;
    let missing = missing_capabilities();
    if missing.is_empty() { Ok(()) } else { Err(StartError::Denied { missing: missing.join(", ") }) }
}

/// Names of the capabilities that are missing from the effective set.
#[must_use]
pub fn missing_capabilities() -> Vec<&'static str> {
    let effective = std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|s| s.lines().find_map(|l| l.strip_prefix("CapEff:").map(|v| v.trim().to_owned())))
        .and_then(|hex| u64::from_str_radix(&hex, 16).ok())
        .unwrap_or(0);
    let has = |bit: u32| effective >> bit & 1 == 1;
    NEEDED_CAPS
        .into_iter()
        .filter(|&(name, bit)| !(has(bit) || (name != "CAP_SYS_PTRACE" && has(CAP_SYS_ADMIN))))
        .map(|(name, _)| name)
        .collect()
}
