//! What each process of the agent may do: capabilities, system calls, files, limits.
//!
//! In Linux each thread has its own capabilities and filters, but threads share memory: an attacker who takes over one thread has
//! all of them. So everything here is a property of a [`Process`], in force for all its threads.

mod filters;
pub mod landlock;
mod limits;
mod process;
pub mod seccomp;
mod status;

pub use limits::{limit_children, limit_cpu};
pub use process::{Process, Purpose, keep};
pub use status::Status;

/// Why a restriction is not in force.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Capabilities, `no_new_privs`.
    #[error("cannot give away capabilities of {process}")]
    Capabilities {
        /// Whose.
        process: &'static str,
        /// The kernel's answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// seccomp.
    #[error("cannot install the system call filter of {process}")]
    Filter {
        /// Whose.
        process: &'static str,
        /// The kernel's answer.
        #[source]
        source: seccompiler::Error,
    },
    /// Landlock.
    #[error("cannot restrict the files of {process}")]
    Files {
        /// Whose.
        process: &'static str,
        /// The kernel's answer.
        #[source]
        source: ::landlock::RulesetError,
    },
    /// A resource limit.
    #[error("cannot set the limit {limit} of {process}")]
    Limit {
        /// Which.
        limit: &'static str,
        /// Whose.
        process: &'static str,
        /// The kernel's answer.
        #[source]
        source: nix::errno::Errno,
    },
}
