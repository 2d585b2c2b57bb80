//! Pyroscope's push API, `push.v1.PusherService/Push`: Connect's unary call with protobuf, each profile a pprof.
//!
//! A series is a service: `__name__` (`process_cpu` or `off_cpu`), `service_name` (the process's name), `host`, `container`.
//! Processes are labels of the samples in the pprof.

use agent_common::text;
use flamegraphs::{About, Unit, pprof};
use profile::block::Looked;
use prost::Message as _;

use super::profiles::Profiles;
use super::send::Rejected;

/// Below the receiver's address.
pub(super) const PATH: &str = "/push.v1.PusherService/Push";
/// Of each request.
pub(super) const HEADERS: [(&str, &str); 1] = [("content-type", "application/proto")];

#[derive(Clone, PartialEq, prost::Message)]
struct Push {
    #[prost(message, repeated, tag = "1")]
    series: Vec<Series>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Raw>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Raw {
    #[prost(bytes = "vec", tag = "1")]
    profile: Vec<u8>,
}

/// The request of a block.
pub(super) fn encode(profiles: &Profiles) -> std::io::Result<Vec<u8>> {
    let mut push = Push::default();
    let mut timelines = profiles.timelines.clone();
    for (service, of) in &profiles.services {
        for (looked, points) in of {
            let timeline = &mut timelines[usize::from(*looked == Looked::Wait)];
            timeline.points.clone_from(points);
            let (name, unit, period_ns) = match looked {
                Looked::Cpu => ("process_cpu", Unit::Samples, profiles.period_ns),
                Looked::Wait => ("off_cpu", Unit::Nanoseconds, 1),
            };
            let about = About {
                title: format!("{} on {}", service.name, text::clean(&profiles.host)),
                unit,
                period_ns,
                start_unix_ns: profiles.from.0,
                duration_ns: profiles.length_ns,
                producer: concat!("s7mpa ", env!("CARGO_PKG_VERSION")).to_owned(),
                ..About::default()
            };
            let mut profile = Vec::new();
            pprof::write(timeline, &about, &mut profile)?;
            let labels = [
                ("__name__", name),
                ("container", &service.container),
                ("host", &profiles.host),
                ("service_name", &service.name),
            ];
            let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
            let labels = labels.map(|(name, value)| Label { name: name.to_owned(), value: value.to_owned() });
            push.series.push(Series { labels: labels.collect(), samples: vec![Raw { profile }] });
        }
    }
    Ok(push.encode_to_vec())
}

/// Its answer to a success is empty.
pub(super) fn rejected(_: &[u8]) -> Option<Rejected> {
    None
}
