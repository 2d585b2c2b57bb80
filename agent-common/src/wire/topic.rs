//! Topics: `s7mpa/v1/<host>/<channel>`; one level deeper alerts, `s7mpa/v1/<host>/alert/<id>`, and what is stored of streams
//! other than metrics, `s7mpa/v1/<host>/stored/<stream>`.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::text::is_hostile;

/// What all topics begin with.
pub const PREFIX: &str = "s7mpa/v1/";

/// The kinds of messages of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Line protocol, one window a message.
    Metrics,
    /// JSON [`super::report::Report`].
    Report,
    /// JSON [`super::finding::Alert`], one topic an alert ([`alert`]), retained while it is open.
    Alert,
    /// Profiles: a head line as that of metrics, then a packed block of stacks.
    Profile,
    /// JSON events.
    Event,
    /// JSON log lines.
    Log,
    /// JSON state of the collector, retained, the last will.
    Status,
    /// JSON [`super::stored::Stored`], retained, published by the ingester.
    Stored,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Metrics,
        Self::Report,
        Self::Alert,
        Self::Profile,
        Self::Event,
        Self::Log,
        Self::Status,
        Self::Stored,
    ];

    /// Its segment in the topic.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Report => "report",
            Self::Alert => "alert",
            Self::Profile => "profile",
            Self::Event => "event",
            Self::Log => "log",
            Self::Status => "status",
            Self::Stored => "stored",
        }
    }
}

/// A topic taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic<'a> {
    /// Host name, unescaped.
    pub host: Cow<'a, str>,
    /// Kind of message.
    pub channel: Channel,
    /// The level below the channel: an alert's id hash, a stream that is stored.
    pub id: Option<&'a str>,
}

/// The topic of a host's channel.
pub fn of(host: &str, channel: &Channel) -> String {
    format!("{PREFIX}{}/{}", escape(host), channel.name())
}

/// The topic of one alert: retained, and cleared with an empty retained message when it is over. The id becomes a
/// hash (64-bit FNV-1a, 16 hexadecimal digits): it contains task names.
pub fn alert(host: &str, id: &str) -> String {
    let hash =
        id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{}/{hash:016x}", of(host, &Channel::Alert))
}

/// The topic on which a server says what it has stored of a stream of this host.
pub fn stored(host: &str, stream: &Channel) -> String {
    let all = of(host, &Channel::Stored);
    if *stream == Channel::Metrics { all } else { format!("{all}/{}", stream.name()) }
}

/// The filter that matches a channel of all hosts (for alerts, all alerts).
pub fn filter(channel: &Channel) -> String {
    let below = if *channel == Channel::Alert { "/+" } else { "" };
    format!("{PREFIX}+/{}{below}", channel.name())
}

/// The same on a shared subscription: the broker gives each message to one member of the group.
pub fn shared_filter(group: &str, channel: &Channel) -> String {
    format!("$share/{group}/{}", filter(channel))
}

/// Takes a topic apart; `None` when it is not one of ours.
pub fn parse(topic: &str) -> Option<Topic<'_>> {
    let mut levels = topic.strip_prefix(PREFIX)?.split('/');
    let level = levels.next().filter(|host| !host.is_empty())?;
    let host = unescape(level)?;
    // A broker's access list compares topics as they are: a second spelling of a host would pass by it.
    if escape(&host) != level {
        return None;
    }
    let name = levels.next()?;
    let channel = Channel::ALL.into_iter().find(|channel| channel.name() == name)?;
    let id = levels.next();
    let deep = matches!(channel, Channel::Alert | Channel::Stored);
    if levels.next().is_some() || id.is_some_and(str::is_empty) || (id.is_some() && !deep) {
        return None;
    }
    Some(Topic { host, channel, id })
}

/// A host name is one level: `/`, the wildcards, control and invisible characters are written `%2F`. Real host names
/// have none.
fn escape(host: &str) -> Cow<'_, str> {
    let plain = |c: char| !matches!(c, '/' | '+' | '#' | '%' | '$') && !is_hostile(c);
    if !host.is_empty() && host.chars().all(plain) {
        return host.into();
    }
    if host.is_empty() {
        return "%".into();
    }
    let mut out = String::new();
    for c in host.chars() {
        if plain(c) {
            out.push(c);
        } else {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                // SANITY: writing to a String cannot fail.
                write!(out, "%{byte:02X}").expect("write to a String");
            }
        }
    }
    out.into()
}

fn unescape(level: &str) -> Option<Cow<'_, str>> {
    if level == "%" {
        return Some("".into());
    }
    if !level.contains('%') {
        return Some(level.into());
    }
    let mut out = Vec::with_capacity(level.len());
    let mut rest = level.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_comes_back_from_its_topic() {
        for host in ["web-1", "a/b", "50%", "+", "", "ü\n", "a\u{202e}b\u{200b}"] {
            for channel in Channel::ALL {
                let topic = of(host, &channel);
                assert_eq!(parse(&topic), Some(Topic { host: host.into(), channel, id: None }), "{topic}");
                assert_eq!(topic.split('/').count(), 4);
            }
        }
        assert_eq!(of("web-1", &Channel::Metrics), "s7mpa/v1/web-1/metrics");
        let stored = [Channel::Metrics, Channel::Profile].map(|stream| stored("web-1", &stream));
        assert_eq!(stored, ["s7mpa/v1/web-1/stored", "s7mpa/v1/web-1/stored/profile"]);
        assert_eq!(parse(&stored[1]).and_then(|topic| topic.id), Some("profile"));
    }

    #[test]
    fn alerts_have_a_topic_each() {
        let topic = alert("web-1", "cpu-user/process/42/1700000000");
        let parsed = parse(&topic).expect("ours");
        assert_eq!((parsed.channel, parsed.id.map(str::len)), (Channel::Alert, Some(16)));
        assert_ne!(topic, alert("web-1", "cpu-user/process/43/1700000000"));
    }

    #[test]
    fn foreign_topics_are_refused() {
        for topic in [
            "",
            "s7mpa/v1",
            "s7mpa/v1/",
            "s7mpa/v1//metrics",
            "s7mpa/v1/h",
            "s7mpa/v1/h/other",
            "s7mpa/v1/h/metrics/x",
            "s7mpa/v1/h/alert/",
            "s7mpa/v1/h/alert/a/b",
            "s7mpa/v2/h/metrics",
            "s7mpa/v1/%zz/metrics",
            "s7mpa/v1/%f/metrics",
            // Other spellings of `web`, `a/b` and ``.
            "s7mpa/v1/%77eb/metrics",
            "s7mpa/v1/a%2fb/metrics",
            "s7mpa/v1/%2B%/metrics",
        ] {
            assert_eq!(parse(topic), None, "{topic}");
        }
    }

    #[test]
    fn filters_match_all_hosts() {
        assert_eq!(filter(&Channel::Metrics), "s7mpa/v1/+/metrics");
        assert_eq!(filter(&Channel::Alert), "s7mpa/v1/+/alert/+");
        assert_eq!(shared_filter("ingest", &Channel::Metrics), "$share/ingest/s7mpa/v1/+/metrics");
    }
}
