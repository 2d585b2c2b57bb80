//! The table of measurements itself, in the order of the reference page.

mod host;
mod kernel;
mod own;
mod process;
mod threads;

use super::{Field, Kind, Measurement, Tag, Unit};

const HOST: Tag = tag("host", "Host name.");
const PID: Tag =
    tag("pid", "Thread-group id; 0 for `other`, the sum of all processes without points of their own.");
const START: Tag = tag(
    "start",
    "Start in ms since boot: with `pid` the identity of the process. 0 when not known, and for `other`.",
);
const COMM: Tag = tag("comm", "Its name.");

const CONTAINER: Tag = tag(
    "container",
    "Name of its container (absent outside of one); the first digits of its id where no file of its runtime says the name.",
);
const POD: Tag = tag("pod", "Kubernetes pod of the container (absent outside of one).");
const NAMESPACE: Tag = tag("namespace", "Kubernetes namespace of the pod.");
const IMAGE: Tag = tag("image", "Image of the container (absent where it is not known).");
const UNIT: Tag =
    tag("unit", "systemd's unit, a service or scope (absent in a container and outside of systemd's tree).");

const fn tag(name: &'static str, meaning: &'static str) -> Tag {
    Tag { name, meaning }
}

const fn counter(name: &'static str, unit: Unit, meaning: &'static str) -> Field {
    Field { name, unit, kind: Kind::Counter, meaning }
}

const fn gauge(name: &'static str, unit: Unit, meaning: &'static str) -> Field {
    Field { name, unit, kind: Kind::Gauge, meaning }
}

pub(super) static GROUPS: [&[Measurement]; 5] = [
    host::MEASUREMENTS,
    threads::MEASUREMENTS,
    kernel::MEASUREMENTS,
    process::MEASUREMENTS,
    own::MEASUREMENTS,
];
