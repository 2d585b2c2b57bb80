//! A case set up: its ground, and its cast.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::ground::{Cgroup, Network, Point, Swap, disk_of, run};
use super::{Case, Fault, Need, Role};
use crate::disk::{Loop, Mounted};
use crate::meter::{Meter, VARIABLE};
use crate::workload::Workload;

/// One of the cast, at work.
#[derive(Debug)]
pub struct Actor {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub meter: Meter,
    workload: Workload,
}

impl Actor {
    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.workload.pid()
    }
}

/// See the module. Fields are dropped in their order: processes before what they stand on.
#[derive(Debug)]
pub struct Stage {
    case: Case,
    cast: Vec<Actor>,
    /// The cgroup, where the case has one.
    pub cgroup: Option<Cgroup>,
    network: Option<Network>,
    swap: Option<Swap>,
    mounted: Option<Mounted>,
    point: Option<Point>,
    disk: Option<Loop>,
    places: HashMap<&'static str, String>,
    /// Shared memory; the directory of files lies on a disk.
    memory: TempDir,
    dir: TempDir,
    limit: Option<PathBuf>,
}

impl Stage {
    /// Makes what it needs, and starts who is there from the beginning.
    pub fn new(case: &Case) -> Result<Self> {
        let mut stage = Self {
            case: *case,
            cast: Vec::new(),
            cgroup: None,
            network: None,
            swap: None,
            mounted: None,
            point: None,
            disk: None,
            places: HashMap::new(),
            memory: tempfile::tempdir_in("/dev/shm").context("no shared memory")?,
            dir: tempfile::tempdir()?,
            limit: None,
        };
        let dir = stage.dir.path().to_owned();
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        stage.places.insert("{dir}", text(dir.clone()));
        stage.places.insert("{actor}", text(crate::programs().join("actor")));
        for need in case.needs {
            match need {
                Need::Network => stage.network = Some(Network::new()?),
                Need::Cgroup => stage.cgroup = Some(Cgroup::new()?),
                Need::Limit(mib) => {
                    let group = Cgroup::new()?;
                    group.memory(*mib)?;
                    stage.cgroup = Some(group);
                }
                Need::Swap(mib) => stage.swap = Some(Swap::new(*mib)?),
                Need::Disk(mib) => {
                    let disk = Loop::new(&dir, mib << 20);
                    stage.places.insert("{disk}", disk.0.clone());
                    stage.disk = Some(disk);
                }
                Need::Mount(mib) => {
                    let mounted = Mounted::new(&dir, mib << 20);
                    stage.places.insert("{disk}", mounted.disk.0.clone());
                    stage.places.insert("{mount}", text(mounted.dir.clone()));
                    stage.mounted = Some(mounted);
                }
                Need::File(mib) => {
                    let path = dir.join("file");
                    let mut file = File::create(&path)?;
                    for _ in 0..*mib {
                        file.write_all(&vec![3; 1 << 20])?;
                    }
                    file.sync_all()?;
                    // Who reads it has it charged to its own cgroup.
                    nix::fcntl::posix_fadvise(
                        &file,
                        0,
                        0,
                        nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED,
                    )?;
                    stage.places.insert("{file}", text(path));
                }
                Need::Point => {
                    let path = dir.join("point");
                    fs::create_dir(&path)?;
                    stage.places.insert("{point}", text(path.clone()));
                    stage.point = Some(Point(path));
                }
                Need::Fifo => {
                    let path = dir.join("fifo");
                    run("mkfifo", &[&text(path.clone())], "")?;
                    stage.places.insert("{fifo}", text(path));
                }
            }
        }
        for role in case.cast.iter().filter(|role| !role.late) {
            stage.enter(role)?;
        }
        Ok(stage)
    }

    /// The first of the cast.
    ///
    /// # Panics
    /// When the case has none.
    #[must_use]
    pub fn victim(&self) -> &Actor {
        &self.cast[0]
    }

    /// All that are on.
    #[must_use]
    pub fn cast(&self) -> &[Actor] {
        &self.cast
    }

    /// Fails when a process of the cast has ended.
    pub fn check(&mut self) -> Result<()> {
        for actor in &mut self.cast {
            if let Some(status) = actor.workload.ended() {
                bail!("{} has ended with {status}", actor.name);
            }
        }
        Ok(())
    }

    /// Name of the disk that the case is about.
    #[must_use]
    pub fn disk(&self) -> Option<String> {
        let place = self.places.get("{disk}").or_else(|| self.places.get("{file}"))?;
        disk_of(place.as_ref()).ok().map(|(_, name)| name)
    }

    /// Puts the fault in.
    pub fn spoil(&mut self) -> Result<()> {
        match self.case.fault {
            Fault::None => {}
            Fault::Spoils(name) => {
                let actors = self.cast.iter().filter(|actor| actor.name == name);
                actors.for_each(|actor| actor.meter.spoil());
            }
            Fault::Comes => self.comes()?,
            Fault::Freeze => self.group()?.freeze(true)?,
            Fault::Quota(us) => self.group()?.quota(us, 100_000)?,
            Fault::Memory(mib) => self.group()?.memory(mib)?,
            Fault::ReadBytes(bytes) => {
                let place = self.places.get("{disk}").or_else(|| self.places.get("{file}"));
                let (device, _) = disk_of(place.context("the case has no disk")?.as_ref())?;
                self.group()?.read_bytes(&device, bytes)?;
            }
            Fault::Dirty(mib) => {
                let disk = self.disk().context("the case has no disk")?;
                let bdi = PathBuf::from(format!("/sys/block/{disk}/bdi"));
                fs::write(bdi.join("strict_limit"), "1").context("no strict_limit of a disk (since 6.2)")?;
                fs::write(bdi.join("max_bytes"), (mib << 20).to_string())?;
                self.limit = Some(bdi);
                self.comes()?;
            }
            Fault::Packets(rules) => {
                self.network.as_ref().context("the case has no network")?.rules(rules)?;
            }
        }
        Ok(())
    }

    fn comes(&mut self) -> Result<()> {
        let case = self.case;
        case.cast.iter().filter(|role| role.late).try_for_each(|role| self.enter(role))
    }

    fn group(&self) -> Result<&Cgroup> {
        self.cgroup.as_ref().context("the case has no cgroup")
    }

    fn enter(&mut self, role: &Role) -> Result<()> {
        for _ in 0..role.count {
            let number = self.cast.len();
            let meter = self.memory.path().join(number.to_string());
            let mut command = self.network.as_ref().map_or_else(|| Command::new("env"), Network::command);
            let bin = self.dir.path().join(format!("bin{number}"));
            fs::create_dir(&bin)?;
            let program = bin.join(role.name);
            let mut words = role.line.split_whitespace();
            let first = words.next().context("a role")?;
            // A program has the name of the link that it was started by.
            std::os::unix::fs::symlink(crate::programs().join("actor"), &program)?;
            command.arg(&program).arg(first);
            for word in words {
                let mut word = word.to_owned();
                for (name, place) in &self.places {
                    word = word.replace(name, place);
                }
                if word.contains('{') {
                    bail!("{}: nothing is known for {word}", self.case.name);
                }
                command.arg(word);
            }
            command.env(VARIABLE, &meter);
            let (cpu, nice) = (role.cpu, role.nice);
            // SAFETY: between fork and exec only such calls are made as do not allocate.
            unsafe {
                command.pre_exec(move || {
                    libc::setpgid(0, 0);
                    if let Some(cpu) = cpu {
                        let mut cpus = nix::sched::CpuSet::new();
                        cpus.set(cpu)?;
                        nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cpus)?;
                    }
                    libc::setpriority(libc::PRIO_PROCESS, 0, nice);
                    Ok(())
                });
            }
            let mut actor =
                Actor { name: role.name, meter: Meter::at(&meter), workload: Workload::spawn(&mut command) };
            if let Some(group) = self.cgroup.as_ref().filter(|_| number == 0) {
                group.add(actor.pid())?;
            }
            actor.workload.begin();
            self.cast.push(actor);
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let (Fault::Freeze, Some(group)) = (self.case.fault, &self.cgroup) {
            // No signal reaches who is frozen.
            let _ = group.freeze(false);
        }
        for actor in &self.cast {
            let group = nix::unistd::Pid::from_raw(actor.pid().cast_signed());
            // With what it has started.
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        }
        if let Some(bdi) = &self.limit {
            let _ = fs::write(bdi.join("max_ratio"), "100");
            let _ = fs::write(bdi.join("strict_limit"), "0");
        }
    }
}
