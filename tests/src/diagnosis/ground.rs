//! What a case stands on: cgroups, network namespaces, swap. Each is gone with its value, also when a test panics.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// A name that no other process on this host uses.
fn own_name() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    format!("s7mpa-case-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}

/// Runs a program that must succeed, and gives what it printed.
pub(super) fn run(program: &str, args: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    child.stdin.take().context("its input is piped")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {args:?} ended with {}: {said}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A cgroup with the controllers that limit CPU, memory and I/O: one directory in the second version, one for each
/// controller in the first.
#[derive(Debug)]
pub struct Cgroup {
    name: String,
    dirs: Vec<PathBuf>,
    unified: bool,
}

const CGROUPS: &str = "/sys/fs/cgroup";

impl Cgroup {
    /// Makes it.
    pub fn new() -> Result<Self> {
        let root = Path::new(CGROUPS);
        let unified = root.join("cgroup.controllers").is_file();
        let mut group = Self { name: own_name(), dirs: Vec::new(), unified };
        let parents = if unified {
            fs::write(root.join("cgroup.subtree_control"), "+cpu +memory +io")
                .context("cgroup controllers")?;
            vec![root.to_owned()]
        } else {
            // The hybrid's second version has no limits, but it is the name that counts.
            let all =
                ["cpu", "memory", "blkio", "freezer", "unified"].map(|controller| root.join(controller));
            all.into_iter().filter(|dir| dir.is_dir()).collect()
        };
        for parent in parents {
            let dir = parent.join(&group.name);
            fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
            group.dirs.push(dir);
        }
        Ok(group)
    }

    /// Its last part.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts a process into it.
    pub fn add(&self, pid: u32) -> Result<()> {
        for dir in &self.dirs {
            fs::write(dir.join("cgroup.procs"), pid.to_string())
                .with_context(|| format!("cannot put {pid} into {}", dir.display()))?;
        }
        Ok(())
    }

    /// CPU time in each period, µs.
    pub fn quota(&self, us: u64, period_us: u64) -> Result<()> {
        let both = format!("{us} {period_us}");
        // Version 2 has both in one file.
        self.set("cpu", ["cpu.cfs_period_us", "cpu.max"], &[period_us.to_string(), both.clone()])?;
        self.set("cpu", ["cpu.cfs_quota_us", "cpu.max"], &[us.to_string(), both])
    }

    /// Time that its threads were held back by the quota, by the kernel's own count.
    pub fn throttled(&self) -> Result<Duration> {
        let of = |dir: &&PathBuf| self.unified || dir.starts_with(Path::new(CGROUPS).join("cpu"));
        let dir = self.dirs.iter().find(of).context("no cgroup controller cpu")?;
        let stat = fs::read_to_string(dir.join("cpu.stat"))?;
        let (key, unit) = if self.unified { ("throttled_usec ", 1000) } else { ("throttled_time ", 1) };
        let line = stat.lines().find_map(|line| line.strip_prefix(key)).context("no throttled time")?;
        Ok(Duration::from_nanos(line.parse::<u64>()? * unit))
    }

    /// Memory, MiB.
    pub fn memory(&self, mib: u64) -> Result<()> {
        let bytes = (mib << 20).to_string();
        self.set("memory", ["memory.limit_in_bytes", "memory.max"], &[bytes.clone(), bytes])
    }

    /// What it may read of a device (`major:minor`), bytes a second.
    pub fn read_bytes(&self, device: &str, bytes: u64) -> Result<()> {
        let files = ["blkio.throttle.read_bps_device", "io.max"];
        self.set("blkio", files, &[format!("{device} {bytes}"), format!("{device} rbps={bytes}")])
    }

    /// Stops all of it, or lets it go on.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let state = if frozen { ["FROZEN", "1"] } else { ["THAWED", "0"] };
        self.set("freezer", ["freezer.state", "cgroup.freeze"], &state.map(str::to_owned))
    }

    fn set(&self, controller: &str, files: [&str; 2], values: &[String; 2]) -> Result<()> {
        let version = usize::from(self.unified);
        let of = |dir: &&PathBuf| self.unified || dir.starts_with(Path::new(CGROUPS).join(controller));
        let dir = self.dirs.iter().find(of).with_context(|| format!("no cgroup controller {controller}"))?;
        let file = dir.join(files[version]);
        fs::write(&file, &values[version]).with_context(|| format!("cannot write {}", file.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for dir in &self.dirs {
            // Its processes have been killed, and some take a moment to be gone.
            for _ in 0..200 {
                if fs::remove_dir(dir).is_ok() || !dir.exists() {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
            if dir.exists() {
                eprintln!("cannot remove {}", dir.display());
            }
        }
    }
}

/// A directory that a file system is mounted on, which is let go with it.
#[derive(Debug)]
pub struct Point(pub PathBuf);

impl Drop for Point {
    fn drop(&mut self) {
        // Who served it has been killed; it is gone when the last of its users is.
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}

/// A network namespace with its loopback up.
#[derive(Debug)]
pub struct Network(String);

impl Network {
    /// Makes it.
    pub fn new() -> Result<Self> {
        let network = Self(own_name());
        run("ip", &["netns", "add", &network.0], "")?;
        run("ip", &["-n", &network.0, "link", "set", "lo", "up"], "")?;
        Ok(network)
    }

    /// A command that runs in it, as the same process.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]);
        command
    }

    /// Adds rules to it.
    pub fn rules(&self, rules: &str) -> Result<()> {
        run("ip", &["netns", "exec", &self.0, "nft", "-f", "-"], rules).map(drop)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = run("ip", &["netns", "del", &self.0], "");
    }
}

/// Swap on a compressed memory disk of its own.
#[derive(Debug)]
pub struct Swap {
    number: String,
    on: bool,
}

impl Swap {
    /// Makes it.
    pub fn new(mib: u64) -> Result<Self> {
        let number = fs::read_to_string("/sys/class/zram-control/hot_add").context("no zram here")?;
        let mut swap = Self { number: number.trim().to_owned(), on: false };
        let device = swap.device();
        fs::write(format!("/sys/block/zram{}/disksize", swap.number), format!("{mib}M"))?;
        run("mkswap", &[&device], "")?;
        run("swapon", &["--priority", "100", &device], "")?;
        swap.on = true;
        Ok(swap)
    }

    fn device(&self) -> String {
        format!("/dev/zram{}", self.number)
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        if self.on
            && let Err(error) = run("swapoff", &[&self.device()], "")
        {
            eprintln!("{error:#}");
        }
        let _ = fs::write(format!("/sys/block/zram{}/reset", self.number), "1");
        let _ = fs::write("/sys/class/zram-control/hot_remove", &self.number);
    }
}

/// `major:minor` of the whole disk that holds a file, and its name.
pub fn disk_of(path: &Path) -> Result<(String, String)> {
    let meta = fs::metadata(path)?;
    let rdev = meta.rdev();
    let number = if rdev == 0 { meta.dev() } else { rdev };
    let (major, minor) = (libc::major(number), libc::minor(number));
    let link = format!("/sys/dev/block/{major}:{minor}");
    let place = fs::canonicalize(&link).with_context(|| format!("{} is on no disk", path.display()))?;
    // A partition lies below its disk.
    let disk = if place.join("partition").is_file() { place.parent().unwrap_or(&place) } else { &place };
    let name = disk.file_name().context("a disk has a name")?.to_string_lossy().into_owned();
    let Ok(numbers) = fs::read_to_string(disk.join("dev")) else { bail!("{name} has no number") };
    Ok((numbers.trim().to_owned(), name))
}
