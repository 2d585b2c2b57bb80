//! What a flame graph is of.

use std::str::FromStr;
use std::sync::Arc;

use agent_common::abi::sched::State;
use serde::{Deserialize, Serialize};

/// What a flame graph is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Where it ran, in samples.
    #[default]
    OnCpu,
    /// Where it waited and what for, in ns.
    OffCpu,
    /// Both: running and waiting, in ns.
    Wall,
    /// Where it waited and, upside down on top, who ended the wait, in ns.
    Wakers,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OnCpu, Self::OffCpu, Self::Wall, Self::Wakers];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnCpu => "on-cpu",
            Self::OffCpu => "off-cpu",
            Self::Wall => "wall",
            Self::Wakers => "wakers",
        }
    }

    /// What it shows, for help.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::OnCpu => "Where it ran, in samples",
            Self::OffCpu => "Where it waited and what for, in ns",
            Self::Wall => "Both: running and waiting, in ns",
            Self::Wakers => "Where it waited and, upside down on top, who ended the wait, in ns",
        }
    }

    /// The heading of its pictures.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::OnCpu => "On-CPU time",
            Self::OffCpu => "Waits by reason",
            Self::Wall => "Running and waiting",
            Self::Wakers => "Waits and who ended them",
        }
    }

    /// Waits are in it.
    #[must_use]
    pub const fn has_waits(self) -> bool {
        !matches!(self, Self::OnCpu)
    }

    /// On-CPU samples are in it.
    #[must_use]
    pub const fn has_samples(self) -> bool {
        matches!(self, Self::OnCpu | Self::Wall)
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|mode| mode.name() == text);
        found.ok_or_else(|| format!("`{text}` is none of on-cpu, off-cpu, wall and wakers"))
    }
}

/// The frame on top of a stack that waits.
#[must_use]
pub fn reason(state: State) -> Arc<str> {
    format!("[{}]", state.name()).into()
}

/// The state behind a frame of [`reason`].
#[must_use]
pub fn state_of(reason: &str) -> Option<State> {
    let name = reason.strip_prefix('[')?.strip_suffix(']')?;
    State::ALL.into_iter().find(|state| state.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_modes_and_reasons_lead_back_to_them() {
        for mode in Mode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("\"{}\"", mode.name()));
        }
        assert!("fly".parse::<Mode>().unwrap_err().contains("wakers"));
        for state in State::ALL {
            assert_eq!(state_of(&reason(state)), Some(state));
        }
        assert_eq!(state_of("[libc.so.6]"), None);
    }
}
