//! The daemon's processes, started while it has all its privileges and one thread.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use caps::{CapSet, Capability};
use sockets::{netns, pass};

use super::launcher::{Launcher, Users};
use super::plugin::PluginChild;
use super::relay::{Owner, relay_owner, unprivileged};
use crate::config::{Config, PLUGIN_USER};

/// Name of the hidden subcommand.
pub const NETNS: &str = "__netns";

/// Handles of the processes that the daemon has started.
#[derive(Debug)]
pub struct Processes {
    /// Starts processes without privileges.
    pub launcher: Launcher,
    /// Foreign programs.
    pub plugin: Option<PluginChild>,
}

impl Processes {
    /// Starts launcher, netns and plugin process.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        let relay = relay_owner(config)?;
        let plugin = unprivileged("plugin.user", &config.plugin.user, PLUGIN_USER)?;
        if relay.is_some() && relay == plugin && config.alerts.exec.is_some() {
            tracing::warn!(
                "alerts.exec runs as the user of store and broker, which only Landlock keeps from it: make a user of its \
                 own (useradd --system --no-create-home {PLUGIN_USER})"
            );
        }
        let launcher = Launcher::spawn(Users::new(relay, plugin))?;
        start_netns()?;
        let plugin = match plugin_settings(config, plugin)? {
            Some(settings) => Some(PluginChild::start(launcher.clone(), settings)?),
            None => None,
        };
        Ok(Self { launcher, plugin })
    }
}

/// Settings of the plugin process, if anything is to run there.
fn plugin_settings(config: &Config, owner: Owner) -> anyhow::Result<Option<plugin::Settings>> {
    let debuginfod = std::env::var_os("DEBUGINFOD_URLS").is_some_and(|urls| !urls.is_empty());
    if config.alerts.exec.is_none() && !debuginfod {
        return Ok(None);
    }
    let home = config.plugin_dir();
    super::make_dir(&home, 0o700)?;
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::lchown(&home, Some(uid.as_raw()), Some(gid.as_raw()))
            .with_context(|| format!("cannot give {} to the user of plugins", home.display()))?;
    }
    Ok(Some(plugin::Settings {
        exec: config.alerts.exec.clone(),
        timeout: config.alerts.timeout,
        log_level: config.log.level.clone(),
        log_json: config.log.json,
        write_dirs: config.plugin.write_dirs.clone(),
        home,
        debuginfod,
    }))
}

/// Starts the netns process, if this process has the capability to enter namespaces.
fn start_netns() -> anyhow::Result<()> {
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SYS_ADMIN).unwrap_or(false) {
        tracing::warn!(
            "without CAP_SYS_ADMIN sockets in other network namespaces (containers) are not seen: full accept \
             queues, peers by name"
        );
        return Ok(());
    }
    let (ours, theirs) = pass::pair().context("cannot make a socket pair")?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("agent").arg(NETNS).current_dir("/").stdin(theirs).stdout(Stdio::null()).process_group(0);
    command.spawn().context("cannot start the netns process")?;
    netns::set_process(ours).context("netns process")
}
