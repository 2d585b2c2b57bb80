//! What the processes of the daemon may do, as the kernel says it.

use std::path::Path;

use sandbox::{Process, Status};

use super::{Check, Health};

/// `daemon`: the running daemon's process, if one answers.
pub(super) fn checks(root: &Path, daemon: Option<u32>) -> Vec<Check> {
    let mut checks = vec![seccomp(root), landlock()];
    if let Some(pid) = daemon {
        checks.push(processes(&Status::family(&root.join("proc"), pid)));
    }
    checks
}

fn seccomp(root: &Path) -> Check {
    match super::read(root, "proc/sys/kernel/seccomp/actions_avail") {
        Some(_) => {
            Check::ok("seccomp", "the kernel has it; the daemon's processes filter their system calls")
        }
        None => Check::new("seccomp", Health::Warn, "not in this kernel")
            .lost("the daemon does not start: its processes cannot be confined")
            .cure("use a kernel with CONFIG_SECCOMP_FILTER=y"),
    }
}

fn landlock() -> Check {
    match sandbox::landlock::abi() {
        0 => Check::new(
            "Landlock",
            Health::Note,
            "not in this kernel, or not in its list of security modules",
        )
        .lost("a second border around the files of the processes without privileges; their users bind them")
        .cure("a kernel from 5.13 on, with landlock in lsm="),
        version => {
            Check::ok("Landlock", format!("version {version}; binds the processes without privileges"))
        }
    }
}

/// One line about all processes: what differs from what each is to have.
fn processes(family: &[(u32, Status)]) -> Check {
    let mut found = Vec::new();
    let mut wrong = Vec::new();
    for process in Process::ALL {
        let Some((pid, status)) = family.iter().find(|(_, status)| status.comm == process.comm()) else {
            if process == Process::Netns {
                wrong.push("no agent-netns: sockets in other network namespaces are not seen".to_owned());
            }
            continue;
        };
        let capabilities = process.capability_bits();
        found.push(format!(
            "{} {pid}: uid {}, {} capabilities",
            status.comm,
            status.uid,
            capabilities.count_ones()
        ));
        let more = status.capabilities & !capabilities;
        let fewer = capabilities & !status.capabilities;
        for (bits, what) in [(more, "has more capabilities than it needs"), (fewer, "lacks capabilities")] {
            if bits != 0 {
                wrong.push(format!("{} {what}: {bits:#x}", status.comm));
            }
        }
        if !status.filtered {
            wrong.push(format!("{} has no system call filter", status.comm));
        }
        if !status.no_new_privs {
            wrong.push(format!("{} can gain privileges by exec", status.comm));
        }
    }
    let found = found.join("; ");
    if wrong.is_empty() {
        Check::ok("confinement", found)
    } else {
        Check::new("confinement", Health::Warn, found)
            .lost(wrong.join("; "))
            .cure("start the daemon as root or by the systemd unit in deploy/, which allows what each process needs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(process: Process) -> (u32, Status) {
        let status = Status {
            comm: process.comm().to_owned(),
            parent: 1,
            uid: 0,
            capabilities: process.capability_bits(),
            no_new_privs: true,
            filtered: true,
        };
        (7, status)
    }

    #[test]
    fn what_is_as_it_should_be_is_no_trouble() {
        let check = processes(&Process::ALL.map(of));
        assert_eq!((check.health, check.lost), (Health::Ok, None));
        assert!(check.found.contains("agent-netns 7: uid 0, 1 capabilities"), "{}", check.found);
    }

    #[test]
    fn each_difference_is_named() {
        let mut family = Process::ALL.map(of);
        family[0].1.filtered = false;
        family[3].1.capabilities = 1 << 21;
        family[4].1.no_new_privs = false;
        let lost = processes(&family[..2]).lost.unwrap();
        assert!(lost.contains("no agent-netns"), "{lost}");
        let lost = processes(&family).lost.unwrap();
        assert!(lost.contains("agent has no system call filter"), "{lost}");
        assert!(lost.contains("agent-relay has more capabilities than it needs: 0x200000"), "{lost}");
        assert!(lost.contains("s7mpa-plugin can gain privileges"), "{lost}");
    }
}
