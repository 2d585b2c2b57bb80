//! Log files of programs and of containers.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Instant;

use logs::event::Origin;
use logs::parse::Clock;
use tail::{Files as Followed, Options, Saved};

use super::Batch;
use super::text::{Form, Text};
use crate::source::containers::runtimes;

/// Bytes read at once, of all files.
const READ_BYTES: usize = 1 << 20;
/// The files of Kubernetes' pods and of Docker's containers.
const CONTAINERS: [&str; 2] = ["/var/log/pods/*/*/*.log", "/var/lib/docker/containers/*/*-json.log"];

/// See the module.
#[derive(Debug)]
pub(super) struct Files {
    host: String,
    form: Form,
    followed: Followed,
    texts: HashMap<u64, Text>,
    /// The last batch was full before all texts had given what they have.
    has_left: bool,
    rests_lost: u64,
}

impl Files {
    /// Files of these patterns.
    pub(super) fn plain(host: &str, options: Options, saved: Option<Vec<Saved>>) -> Self {
        Self::new(host, Form::Plain, options, saved)
    }

    /// The files of container runtimes.
    pub(super) fn containers(host: &str, saved: Option<Vec<Saved>>) -> Self {
        let patterns = CONTAINERS.map(str::to_owned).to_vec();
        Self::new(host, Form::Container, Options { patterns, except: Vec::new() }, saved)
    }

    fn new(host: &str, form: Form, options: Options, saved: Option<Vec<Saved>>) -> Self {
        let followed = Followed::new(options, saved);
        Self { host: host.to_owned(), form, followed, texts: HashMap::new(), has_left: false, rests_lost: 0 }
    }

    /// Where to go on after a restart.
    pub(super) fn saved(&self) -> Vec<Saved> {
        self.followed.saved()
    }

    /// What [`Files::saved`] gives is to be written down before the batch goes.
    pub(super) fn must_be_saved(&mut self) -> bool {
        self.followed.must_be_saved()
    }

    pub(super) fn commit(&mut self, safe: &BTreeMap<u64, u64>) {
        self.followed.commit(safe);
    }

    /// Reads what is new, if the batch takes what was read before. Says whether there is more.
    pub(super) fn poll(&mut self, now: Instant, clock: &Clock, now_ns: u64, batch: &mut Batch) -> bool {
        if self.has_left {
            self.hand_on(now, batch);
        }
        if self.has_left {
            return true;
        }
        let Self { host, form, followed, texts, .. } = self;
        let more = followed.poll(now, READ_BYTES, &mut |chunk| {
            let new = || Text::new(*form, labels(host, *form, chunk.path), chunk.offset);
            let text = texts.entry(chunk.source).or_insert_with(new);
            text.feed(chunk.bytes, clock, now_ns);
            if chunk.end {
                text.finish(clock, now_ns);
            }
        });
        let lost = followed.figures().rests_lost;
        batch.lose("file gone before it was read", lost - std::mem::replace(&mut self.rests_lost, lost));
        for text in texts.values_mut() {
            text.expire(clock, now_ns);
        }
        self.hand_on(now, batch);
        more || self.has_left
    }

    /// Hands on what the texts have, until the batch is full.
    fn hand_on(&mut self, now: Instant, batch: &mut Batch) {
        self.has_left = false;
        let has_left = &mut self.has_left;
        self.texts.retain(|source, text| {
            if batch.is_full() {
                *has_left = true;
                return true;
            }
            let (records, done) = text.take();
            if records.is_empty() && !text.is_over() {
                return true;
            }
            for (stream, record) in records {
                batch.line(*source, &stream, &record, Origin::Other, now);
            }
            batch.upto(*source, done, now);
            !text.is_over()
        });
    }
}

/// What is known of all lines of a file.
fn labels(host: &str, form: Form, path: &Path) -> Vec<(String, String)> {
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut all = vec![own("host", host)];
    match form {
        Form::Plain => {
            all.extend([own("source", "file"), own("file", &path.to_string_lossy())]);
        }
        Form::Container => {
            all.push(own("source", "container"));
            all.extend(of_pod(path).or_else(|| of_docker(path)).unwrap_or_default());
        }
    }
    all
}

/// `/var/log/pods/NAMESPACE_POD_UID/CONTAINER/N.log`.
fn of_pod(path: &Path) -> Option<Vec<(String, String)>> {
    let container = path.parent()?;
    let pod = container.parent()?;
    if !pod.parent()?.ends_with("pods") {
        return None;
    }
    let mut parts = pod.file_name()?.to_str()?.splitn(3, '_');
    let (namespace, pod) = (parts.next()?, parts.next()?);
    let container = container.file_name()?.to_str()?;
    let all = [("namespace", namespace), ("pod", pod), ("container", container)];
    Some(all.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
}

/// `/var/lib/docker/containers/ID/ID-json.log`: its name is in a file of Docker's.
fn of_docker(path: &Path) -> Option<Vec<(String, String)>> {
    let id = path.parent()?.file_name()?.to_str()?;
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let known = if is_id { runtimes::labels(Path::new("/"), id) } else { None };
    let name = known.as_ref().and_then(|known| known.name.as_deref()).unwrap_or(id).to_owned();
    let mut all = vec![("container".to_owned(), name)];
    for (label, value) in [
        ("pod", known.as_ref().and_then(|known| known.pod.as_deref())),
        ("namespace", known.as_ref().and_then(|known| known.namespace.as_deref())),
    ] {
        all.extend(value.map(|value| (label.to_owned(), value.to_owned())));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_of_a_pod_are_in_its_path() {
        let path = Path::new("/var/log/pods/shop_web-7d9_0f3c-11/nginx/0.log");
        let found = of_pod(path).expect("a pod");
        let text: Vec<String> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(text, ["namespace=shop", "pod=web-7d9", "container=nginx"]);
        assert_eq!(of_pod(Path::new("/var/log/a/b/0.log")), None);
        let found = of_docker(Path::new("/var/lib/docker/containers/abc/abc-json.log")).expect("a container");
        assert_eq!(found, [("container".to_owned(), "abc".to_owned())]);
    }
}
