//! The store is read by a process of its own: it belongs to the relay's user, and a command that is root must not open what
//! another user wrote, but writes its picture where root may.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use agent_common::units::UnixNs;
use anyhow::{Context as _, bail};
use nix::unistd::{Gid, Uid};
use profile::block::{Block, Looked};
use serde::{Deserialize, Serialize};
use server::store::profiles::{By, FILE, Reader, Selection};

use super::super::super::{Outcome, root};
use crate::config::Config;
use crate::daemon;

/// Name of the command that reads.
pub(in crate::cli) const READER: &str = "read-profiles";
/// Longest answer: a day of many processes has some 50 MB.
const MAX_ANSWER: u64 = 1 << 30;

/// What is asked of the store.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Question {
    /// A merged graph.
    Merged(Chosen),
    /// What an alert has as evidence.
    Evidence {
        /// Its id.
        alert: String,
    },
}

/// A [`Selection`] on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Chosen {
    from: UnixNs,
    to: UnixNs,
    hosts: Vec<String>,
    pids: Vec<u32>,
    comms: Vec<String>,
    places: Vec<String>,
    cpu: bool,
    waits: bool,
    by_comm: bool,
    columns: u32,
}

impl From<Selection> for Chosen {
    fn from(selection: Selection) -> Self {
        let Selection { from, to, hosts, pids, comms, places, looked, by, columns } = selection;
        let (cpu, waits) = (looked.contains(&Looked::Cpu), looked.contains(&Looked::Wait));
        Self { from, to, hosts, pids, comms, places, cpu, waits, by_comm: by == By::Comm, columns }
    }
}

impl From<Chosen> for Selection {
    fn from(chosen: Chosen) -> Self {
        let Chosen { from, to, hosts, pids, comms, places, cpu, waits, by_comm, columns } = chosen;
        let looked = [(cpu, Looked::Cpu), (waits, Looked::Wait)];
        Self {
            from,
            to,
            hosts,
            pids,
            comms,
            places,
            looked: looked.into_iter().filter(|(wanted, _)| *wanted).map(|(_, looked)| looked).collect(),
            by: if by_comm { By::Comm } else { By::Process },
            columns,
        }
    }
}

/// What is answered.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Hosts that are in it; of evidence that is not there, the alerts that have some.
    pub(super) names: Vec<String>,
    /// Start of the first column that is in it, and end of the last.
    pub(super) span: Option<(UnixNs, UnixNs)>,
    /// What there is at all.
    pub(super) reach: Option<(UnixNs, UnixNs)>,
    /// The stacks. They follow the rest, as bytes.
    #[serde(skip)]
    pub(super) block: Option<Block>,
    /// There are some.
    has_block: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    path: PathBuf,
    /// User and group to become.
    owner: Option<(u32, u32)>,
    question: Question,
}

/// Asks the store of this configuration.
pub(super) fn ask(config: &Config, question: &Question) -> anyhow::Result<Answer> {
    let path = config.server_dir().join(FILE);
    let owner = daemon::relay_owner(config)?.map(|(uid, gid)| (uid.as_raw(), gid.as_raw()));
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut child = Command::new(program)
        .arg(READER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the reader of the store")?;
    let request =
        serde_json::to_vec(&serde_json::json!({ "path": path, "owner": owner, "question": question }))?;
    // It may have ended with a message of its own.
    let asked = child.stdin.take().map(|mut input| input.write_all(&request));
    let mut bytes = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(MAX_ANSWER).read_to_end(&mut bytes)?;
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the store of profiles could not be read");
    }
    if let Some(Err(error)) = asked {
        return Err(error).context("cannot ask the reader of the store");
    }
    let mut stream = serde_json::Deserializer::from_slice(&bytes).into_iter::<Answer>();
    let mut answer = stream.next().context("the reader of the store gave no answer")??;
    let rest = &bytes[stream.byte_offset()..];
    if answer.has_block {
        answer.block = Some(Block::decode(rest).context("the reader of the store gave a damaged answer")?);
    }
    Ok(answer)
}

/// The body of the reader: a request on standard input, the answer on standard output.
pub(in crate::cli) fn read() -> Outcome {
    let mut request = Vec::new();
    std::io::stdin().lock().read_to_end(&mut request)?;
    let Request { path, owner, question } = serde_json::from_slice(&request).context("no request")?;
    if let Some((uid, gid)) = owner {
        root::become_user((Uid::from_raw(uid), Gid::from_raw(gid)), "the store of profiles")?;
    }
    readable(&path)?;
    let answer = answer(&Reader::open(&path)?, question)?;
    let mut out = serde_json::to_vec(&answer)?;
    if let Some(block) = &answer.block {
        out.append(&mut block.encode());
    }
    std::io::stdout().lock().write_all(&out)?;
    Ok(ExitCode::SUCCESS)
}

/// SQLite writes beside the file that it reads: its owner alone can.
fn readable(path: &std::path::Path) -> anyhow::Result<()> {
    let us = nix::unistd::geteuid().as_raw();
    let shown = path.display();
    match std::fs::metadata(path).map(|found| found.uid()) {
        Ok(owner) if owner == us => Ok(()),
        Ok(owner) => {
            bail!("cannot read {shown}: it belongs to user {owner}, and this command reads it as user {us}")
        }
        Err(error) => {
            bail!("there are no profiles at {shown} that this user may read ({error}); run this with sudo")
        }
    }
}

fn answer(reader: &Reader, question: Question) -> anyhow::Result<Answer> {
    match question {
        Question::Merged(chosen) => {
            let merged = reader.merged(&chosen.into())?;
            Ok(Answer {
                names: merged.hosts.into_iter().collect(),
                span: merged.span,
                reach: reader.reach()?,
                has_block: merged.span.is_some(),
                block: merged.span.map(|_| merged.block),
            })
        }
        Question::Evidence { alert } => Ok(match reader.evidence(&alert)? {
            Some(found) => Answer {
                names: vec![found.host],
                has_block: true,
                block: Some(found.block),
                ..Answer::default()
            },
            None => Answer { names: reader.alerts()?, ..Answer::default() },
        }),
    }
}
