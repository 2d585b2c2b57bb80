//! HTTP/1.1 to a server on loopback, as far as this needs it, and what is sent to Prometheus.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use agent_common::wire::line::{FieldValue, Point};
use anyhow::{Context as _, Result, bail};
use remote_write::{Label, NAME, Sample, TimeSeries, WriteRequest};

/// A port that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until somebody listens.
pub(crate) fn wait(port: u16) -> Result<()> {
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if begun.elapsed() > Duration::from_mins(1) {
            bail!("nothing listens on port {port} after a minute");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Sends a request and reads the whole answer.
pub(crate) fn request(port: u16, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    if !line.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
        let begin = answer.len().min(600);
        bail!("{method} {path}: {}", String::from_utf8_lossy(&answer[..begin]));
    }
    Ok(answer)
}

/// A text in a URL.
pub(crate) fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The points as a request of Prometheus's remote write: each field a series with one sample.
pub(crate) fn remote_write<'a>(points: impl Iterator<Item = &'a Point>) -> Result<Vec<u8>> {
    let mut timeseries = Vec::new();
    for point in points {
        for (field, value) in &point.fields {
            let FieldValue::Int(value) = value else { bail!("integers only") };
            let mut labels = vec![Label::new(NAME, format!("{}_{field}", point.measurement))];
            labels.extend(point.tags.iter().map(|(name, value)| Label::new(&**name, value.as_str())));
            let sample = Sample { value: *value as f64, timestamp: (point.time.0 / 1_000_000) as i64 };
            timeseries.push(TimeSeries::new(labels, vec![sample]));
        }
    }
    Ok(WriteRequest { timeseries, metadata: Vec::new() }.encode_body())
}

/// CPU time of a process so far, to a nanosecond where the kernel says it.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        sum += Duration::from_nanos(ns);
    }
    Ok(sum)
}

/// Bytes of the files below a directory.
pub(crate) fn size(dir: &std::path::Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        // Files come and go while a server merges.
        let Ok(found) = entry.metadata() else { continue };
        sum += if found.is_dir() { size(&entry.path())? } else { found.len() };
    }
    Ok(sum)
}
