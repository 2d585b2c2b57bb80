//! What a unit's service may call.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::Unit;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
const EPERM: SeccompAction = SeccompAction::Errno(libc::EPERM as u32);

/// Name in `RestrictNamespaces=` and flag of `clone`.
const NAMESPACES: &[(&str, i32)] = &[
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("ipc", libc::CLONE_NEWIPC),
    ("mnt", libc::CLONE_NEWNS),
    ("net", libc::CLONE_NEWNET),
    ("pid", libc::CLONE_NEWPID),
    ("user", libc::CLONE_NEWUSER),
    ("uts", libc::CLONE_NEWUTS),
];

pub(super) fn programs(unit: &Unit, left: &mut BTreeMap<&str, &str>) -> Result<Vec<BpfProgram>> {
    let mut programs = vec![allowed_calls(unit)?];
    for key in ["SystemCallFilter", "SystemCallErrorNumber", "SystemCallArchitectures"] {
        left.remove(key);
    }
    if let Some(families) = left.remove("RestrictAddressFamilies") {
        programs.push(families_of(families)?);
    }
    if let Some(namespaces) = left.remove("RestrictNamespaces") {
        programs.extend(namespaces_of(namespaces)?);
    }
    let mut refused = Rules::new();
    if left.remove("MemoryDenyWriteExecute") == Some("yes") {
        let both = (libc::PROT_WRITE | libc::PROT_EXEC) as u64;
        let exec = libc::PROT_EXEC as u64;
        refused.insert(libc::SYS_mmap, vec![masked(2, both, both)?]);
        refused.insert(libc::SYS_mprotect, vec![masked(2, exec, exec)?]);
        refused.insert(libc::SYS_pkey_mprotect, vec![masked(2, exec, exec)?]);
        refused.insert(libc::SYS_shmat, vec![masked(2, libc::SHM_EXEC as u64, libc::SHM_EXEC as u64)?]);
    }
    if left.remove("RestrictRealtime") == Some("yes") {
        let above = condition(1, SeccompCmpOp::Gt, libc::SCHED_IDLE as u64)?;
        let realtime =
            [libc::SCHED_FIFO, libc::SCHED_RR].map(|policy| condition(1, SeccompCmpOp::Eq, policy as u64));
        let mut rules = vec![above];
        rules.extend(realtime.into_iter().collect::<Result<Vec<_>>>()?);
        refused.insert(libc::SYS_sched_setscheduler, rules);
        refused.insert(libc::SYS_sched_setattr, Vec::new());
    }
    if left.remove("RestrictSUIDSGID") == Some("yes") {
        for (call, argument) in [
            (libc::SYS_chmod, 1),
            (libc::SYS_fchmod, 1),
            (libc::SYS_fchmodat, 2),
            (libc::SYS_mkdir, 1),
            (libc::SYS_mkdirat, 2),
            (libc::SYS_mknod, 1),
            (libc::SYS_mknodat, 2),
        ] {
            let rules = [libc::S_ISUID, libc::S_ISGID].map(|bit| masked(argument, bit.into(), bit.into()));
            refused.insert(call, rules.into_iter().collect::<Result<_>>()?);
        }
    }
    if left.remove("LockPersonality") == Some("yes") {
        refused.insert(libc::SYS_personality, vec![condition(0, SeccompCmpOp::Ne, 0)?]);
    }
    if !refused.is_empty() {
        programs.push(compile(refused, SeccompAction::Allow, EPERM)?);
    }
    Ok(programs)
}

/// `SystemCallFilter=`: the groups are systemd's own.
fn allowed_calls(unit: &Unit) -> Result<BpfProgram> {
    ensure!(unit.get("SystemCallErrorNumber") == Some("EPERM"), "SystemCallErrorNumber is not EPERM");
    ensure!(unit.get("SystemCallArchitectures") == Some("native"), "SystemCallArchitectures is not native");
    let groups = groups()?;
    let mut allowed = BTreeSet::new();
    for line in unit.all("SystemCallFilter") {
        let (without, names) = line.strip_prefix('~').map_or((false, line), |names| (true, names));
        let mut named = BTreeSet::new();
        names.split_whitespace().try_for_each(|name| expand(&groups, name, &mut named))?;
        if without {
            allowed.retain(|name| !named.contains(name));
        } else {
            allowed.extend(named);
        }
    }
    expand(&groups, "@default", &mut allowed)?;
    let numbers: BTreeMap<&str, i64> = (0..1024_u16)
        .filter_map(|number| {
            Some((
                diagnosis::syscall_names::name(diagnosis::window::SyscallAbi::Native, number)?,
                number.into(),
            ))
        })
        .collect();
    // Names of other architectures have no number here.
    let rules: Rules =
        allowed.iter().filter_map(|name| Some((*numbers.get(name.as_str())?, Vec::new()))).collect();
    ensure!(rules.len() > 200, "only {} system calls are allowed", rules.len());
    compile(rules, EPERM, SeccompAction::Allow)
}

/// Name of a group → what is in it, as `systemd-analyze syscall-filter` prints it.
fn groups() -> Result<BTreeMap<String, Vec<String>>> {
    let output = Command::new("systemd-analyze")
        .args(["--no-pager", "syscall-filter"])
        .output()
        .context("systemd-analyze: install the package systemd")?;
    let text = String::from_utf8(output.stdout)?;
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut group = None;
    for line in text.lines() {
        let name = line.trim();
        if line.starts_with('@') {
            group = Some(groups.entry(name.to_owned()).or_default());
        } else if let Some(group) = &mut group
            && line.starts_with(' ')
            && !name.starts_with('#')
            && !name.is_empty()
        {
            group.push(name.to_owned());
        }
    }
    ensure!(groups.contains_key("@system-service"), "systemd-analyze knows no groups: {text}");
    Ok(groups)
}

fn expand(groups: &BTreeMap<String, Vec<String>>, name: &str, into: &mut BTreeSet<String>) -> Result<()> {
    if name.starts_with('@') {
        let members = groups.get(name).with_context(|| format!("systemd knows no group {name}"))?;
        return members.iter().try_for_each(|member| expand(groups, member, into));
    }
    into.insert(name.to_owned());
    Ok(())
}

fn families_of(names: &str) -> Result<BpfProgram> {
    let mut rules = Vec::new();
    for name in names.split_whitespace() {
        let family = match name {
            "AF_UNIX" => libc::AF_UNIX,
            "AF_INET" => libc::AF_INET,
            "AF_INET6" => libc::AF_INET6,
            "AF_NETLINK" => libc::AF_NETLINK,
            _ => bail!("RestrictAddressFamilies: {name} is not known to the tests"),
        };
        rules.push(SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family as u64)?);
    }
    // Refused is what is none of them.
    let rules = Rules::from([(libc::SYS_socket, vec![SeccompRule::new(rules)?])]);
    compile(rules, SeccompAction::Allow, SeccompAction::Errno(libc::EAFNOSUPPORT as u32))
}

/// `yes`, `no` or the kinds that are allowed.
fn namespaces_of(text: &str) -> Result<Vec<BpfProgram>> {
    let allowed: BTreeSet<&str> = match text {
        "no" => return Ok(Vec::new()),
        "yes" => BTreeSet::new(),
        kinds => kinds.split_whitespace().collect(),
    };
    if let Some(unknown) = allowed.iter().find(|kind| NAMESPACES.iter().all(|(name, _)| name != *kind)) {
        bail!("RestrictNamespaces: {unknown} is no kind of namespace");
    }
    let mut rules = Rules::new();
    for (call, argument) in [(libc::SYS_clone, 0), (libc::SYS_unshare, 0), (libc::SYS_setns, 1)] {
        let refused = NAMESPACES.iter().filter(|(name, _)| !allowed.contains(name));
        let mut refused: Vec<SeccompRule> =
            refused.map(|(_, flag)| masked(argument, *flag as u64, *flag as u64)).collect::<Result<_>>()?;
        if call == libc::SYS_setns {
            // Any kind.
            refused.push(condition(argument, SeccompCmpOp::Eq, 0)?);
        }
        rules.insert(call, refused);
    }
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    Ok(vec![
        compile(rules, SeccompAction::Allow, EPERM)?,
        compile(clone3, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32))?,
    ])
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompRule> {
    condition(argument, SeccompCmpOp::MaskedEq(mask), value)
}

fn compile(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Result<BpfProgram> {
    Ok(SeccompFilter::new(rules, otherwise, matched, TargetArch::x86_64)?.try_into()?)
}
