//! All exporters together.

use std::time::Duration;

use agent_common::pair::{ItemHead, SinkFigures, Stream};
use agent_common::settings::relay::Settings;
use tokio::task::JoinSet;

use super::{Exporter, Gauge, LogExporter, LogFormat, ProfileExporter, ProfileFormat};

/// Those that are configured.
pub struct Exports {
    metrics: Option<Exporter>,
    profiles: Vec<ProfileExporter>,
    logs: Vec<LogExporter>,
}

/// Tells how they are.
#[derive(Debug, Clone)]
pub struct Gauges {
    export: Option<Gauge>,
    pyroscope: Option<Gauge>,
    otlp_profiles: Option<Gauge>,
    loki: Option<Gauge>,
    otlp_logs: Option<Gauge>,
}

impl Exports {
    /// Starts them on the current runtime. An error is one line.
    pub fn start(settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            metrics: settings.remote_write.as_ref().map(Exporter::start).transpose()?,
            profiles: ProfileExporter::start_all(settings)?,
            logs: LogExporter::start_all(settings)?,
        })
    }

    /// Passes on what goes to the spool, too.
    pub fn take(&mut self, head: &ItemHead, payload: &[u8]) {
        let ItemHead { windows, seq, end, .. } = head;
        match head.stream {
            Stream::Metrics => {
                if let Some(exporter) = &mut self.metrics {
                    exporter.window(windows, *seq, *end, &String::from_utf8_lossy(payload));
                }
            }
            Stream::Profile => {
                self.profiles.iter_mut().for_each(|exporter| exporter.block(windows, *seq, payload));
            }
            Stream::Log => self.logs.iter_mut().for_each(|exporter| exporter.message(windows, *seq, payload)),
            _ => {}
        }
    }

    /// A handle that tells how they are.
    pub fn gauges(&self) -> Gauges {
        let profiles =
            |format| self.profiles.iter().find(|one| one.format() == format).map(ProfileExporter::gauge);
        let logs = |format| self.logs.iter().find(|one| one.format() == format).map(LogExporter::gauge);
        Gauges {
            export: self.metrics.as_ref().map(Exporter::gauge),
            pyroscope: profiles(ProfileFormat::Pyroscope),
            otlp_profiles: profiles(ProfileFormat::Otlp),
            loki: logs(LogFormat::Loki),
            otlp_logs: logs(LogFormat::Otlp),
        }
    }

    /// Lets them send what is queued, as long as `most`.
    pub async fn close(self, most: Duration) {
        let mut closing = JoinSet::new();
        self.metrics.into_iter().for_each(|exporter| _ = closing.spawn(exporter.close(most)));
        self.profiles.into_iter().for_each(|exporter| _ = closing.spawn(exporter.close(most)));
        self.logs.into_iter().for_each(|exporter| _ = closing.spawn(exporter.close(most)));
        closing.join_all().await;
    }
}

impl Gauges {
    /// The sink's figures with theirs.
    pub fn add_to(&self, sink: SinkFigures) -> SinkFigures {
        let of = |gauge: &Option<Gauge>| gauge.as_ref().map(Gauge::figures);
        SinkFigures {
            export: of(&self.export),
            pyroscope: of(&self.pyroscope),
            otlp_profiles: of(&self.otlp_profiles),
            loki: of(&self.loki),
            otlp_logs: of(&self.otlp_logs),
            ..sink
        }
    }
}
