//! Why the probes cannot be loaded at all.

/// Why a collector could not start at all. A single refused probe is a verdict, not an error.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process may not load BPF programs.
    #[error(
        "this needs root, or the capabilities CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; missing here: {missing}"
    )]
    Denied {
        /// Names of the missing capabilities.
        missing: String,
    },
    /// The kernel cannot do it.
    #[error("{what}: {cure}")]
    Unsupported {
        /// What is missing.
        what: String,
        /// What to do.
        cure: String,
    },
    /// It should have worked.
    #[error("cannot load the BPF object")]
    Broken(#[source] anyhow::Error),
}
