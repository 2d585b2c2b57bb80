//! The one architecture that the BPF programs and the unwinder know.

use crate::bpf::StartError;

/// As Rust and `uname -m` call it.
const SUPPORTED: &str = "x86_64";

/// Refuses a program built for another architecture, and one that runs on another kernel than it was built for.
///
/// Elsewhere the programs load and count nothing: the places of a system call's number and arguments in the
/// registers, and the unwind tables, are those of x86-64.
pub fn supported() -> Result<(), StartError> {
    let machine = nix::sys::utsname::uname()
        .map(|uname| uname.machine().to_string_lossy().into_owned())
        .unwrap_or_default();
    check(std::env::consts::ARCH, &machine)
}

/// `built`: [`std::env::consts::ARCH`]; `machine`: `uname -m`, empty where that failed.
fn check(built: &str, machine: &str) -> Result<(), StartError> {
    // A 64-bit kernel calls itself i686 to a program that was started through `setarch i686`.
    let same = matches!(machine, SUPPORTED | "" | "i386" | "i486" | "i586" | "i686");
    let what = match (built, same) {
        (SUPPORTED, true) => return Ok(()),
        (SUPPORTED, false) => format!(
            "this program is built for {SUPPORTED} and runs under emulation on a kernel for {machine}: its \
             probes would count nothing"
        ),
        _ => format!(
            "this program is built for {built}: its probes count nothing on any architecture but {SUPPORTED}"
        ),
    };
    Err(StartError::Unsupported {
        what,
        cure: format!("run it on an {SUPPORTED} host; `agent serve`, `query` and `--replay` work anywhere"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_the_tests_is_supported() {
        assert!(supported().is_ok());
    }

    #[test]
    fn what_is_built_for_or_runs_on_another_architecture_is_refused_with_both_names() {
        let refused = |built, machine| match check(built, machine) {
            Err(StartError::Unsupported { what, cure }) => format!("{what}; {cure}"),
            other => panic!("{built} on {machine}: {other:?}"),
        };
        let text = refused("aarch64", "aarch64");
        assert!(text.contains("built for aarch64") && text.contains("x86_64"), "{text}");
        // qemu-user: the system calls are those of the host's kernel.
        let text = refused("x86_64", "aarch64");
        assert!(text.contains("emulation") && text.contains("aarch64"), "{text}");
        let text = refused("x86", "x86_64");
        assert!(text.contains("built for x86"), "{text}");
    }

    #[test]
    fn a_personality_that_claims_32_bits_is_no_other_kernel() {
        assert!(check("x86_64", "i686").is_ok());
    }
}
