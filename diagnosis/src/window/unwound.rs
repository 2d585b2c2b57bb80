//! How the walks up the stacks of the samples in a window ended.

use std::collections::BTreeMap;

use agent_common::abi::python::PythonVerdict;
use agent_common::abi::unwind::Verdict;
use agent_common::units::Tgid;

/// How the walks up user stacks ended, by process.
pub type Unwound = BTreeMap<Tgid, Verdicts>;

/// How the walks up Python frames ended, by process.
pub type Pythons = BTreeMap<Tgid, PythonVerdicts>;

/// Samples by how the walk up their Python frames ended.
pub type PythonVerdicts = [u64; PythonVerdict::ALL.len()];

/// Samples by how the walk up their user stack ended.
pub type Verdicts = [u64; Verdict::ALL.len()];
