//! Bad input: the message names what is wrong, in one line a person can act on.

use std::os::unix::process::CommandExt;

use tests::agent;
use tests::workload::Workload;

#[test]
fn three_kinds_of_wrong_pid_have_three_messages() {
    if !tests::can_observe() {
        return;
    }
    // Above the largest pid_max there is: never was a process.
    let never = agent::failure(&["flamegraph", "--pid", "4194999", "--duration", "1s"]);
    // kthreadd is a thread of the kernel on every Linux that is not a container.
    let kernel = agent::failure(&["flamegraph", "--pid", &kernel_thread(), "--duration", "1s"]);
    let workload = Workload::start("sleeper", &[]);
    let pid = workload.pid().to_string();
    workload.finish();
    let exited = agent::failure(&["flamegraph", "--pid", &pid, "--duration", "1s"]);
    assert!(never.contains("4194999"), "{never}");
    assert!(kernel.contains("kernel thread"), "{kernel}");
    assert!(exited.contains(&pid), "{exited}");
    for text in [&never, &kernel, &exited] {
        assert!(text.trim().lines().count() <= 2, "one line says it: {text}");
    }
    assert_ne!(never.replace("4194999", "P"), kernel, "different causes, different words");
}

/// Any thread of the kernel: it has no executable.
fn kernel_thread() -> String {
    let list = std::fs::read_dir("/proc").expect("/proc is mounted");
    list.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        // Field 9, flags: PF_KTHREAD.
        .find(|pid| tests::stat_field(pid, 9).is_some_and(|flags| flags & 0x0020_0000 != 0))
        .expect("a kernel has threads")
}

#[test]
fn without_root_the_missing_capability_is_named() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let copy = dir.path().join("agent");
    std::fs::copy(agent::path(), &copy).expect("a copy anybody can reach");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).expect("a mode");
    // No daemon ever ran here; root's daemon runs or ran here.
    let (absent, closed) = (dir.path().join("absent"), dir.path().join("closed"));
    std::fs::create_dir(&closed).expect("a directory");
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("a mode");
    for run_dir in [absent, closed] {
        let output = std::process::Command::new(&copy)
            .args(["syscalls", "--duration", "1s"])
            .env_remove("S7MPA_TOOLS")
            .env("S7MPA_RUN_DIR", &run_dir)
            .current_dir("/")
            .uid(65534)
            .gid(65534)
            .output()
            .expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(text.contains("CAP_BPF") && text.contains("CAP_PERFMON"), "{}: {text}", run_dir.display());
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("agent.toml");
    std::fs::write(&file, "[collector]\nrate_hertz = 97\n").expect("written");
    let text = agent::failure(&["config", "check", "--config", &file.to_string_lossy()]);
    assert!(text.contains("agent.toml:2") && text.contains("rate_hz"), "{text}");
}
