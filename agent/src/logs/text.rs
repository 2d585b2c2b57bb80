//! The lines of one file of text, in their order: cut, taken out of a container's log, taken apart, joined.

use std::collections::{BTreeMap, HashMap};

use logs::parse::multiline::Joiner;
use logs::parse::{Clock, Joined, Partials, RawLine, Splitter, cri, docker, line, text};
use logs::{Record, Stream};

/// Programs of one file that have a stream of their own, by their tag; those beyond share one.
const MAX_TAGS: usize = 128;
/// Longest tag that is believed.
const MAX_TAG_BYTES: usize = 64;

/// How the lines are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As the program wrote them.
    Plain,
    /// By Docker or the container runtime interface; each line says which.
    Container,
}

/// Lines that belong together are of one program, process and pipe.
type Key = (Option<&'static str>, u32, u32);

/// See the module.
#[derive(Debug)]
pub(super) struct Text {
    form: Form,
    labels: Vec<(String, String)>,
    streams: HashMap<(Option<&'static str>, u32), Stream>,
    /// Tags by their number in a key.
    tags: HashMap<String, u32>,
    splitter: Splitter,
    partials: Partials,
    joiner: Joiner<Key>,
    /// Records that wait for one before them.
    ready: BTreeMap<u64, (Stream, Record)>,
    /// All is done up to here.
    done: u64,
    /// Nothing follows.
    over: bool,
}

impl Text {
    /// Of a file that is read from an offset on, with the labels of all its lines.
    pub(super) fn new(form: Form, labels: Vec<(String, String)>, offset: u64) -> Self {
        Self {
            form,
            labels,
            streams: HashMap::new(),
            tags: HashMap::new(),
            splitter: Splitter::new(offset),
            partials: Partials::default(),
            joiner: Joiner::default(),
            ready: BTreeMap::new(),
            done: offset,
            over: false,
        }
    }

    /// Takes the next bytes. `now_ns`: of a clock that does not go back.
    pub(super) fn feed(&mut self, bytes: &[u8], clock: &Clock, now_ns: u64) {
        let mut splitter = std::mem::replace(&mut self.splitter, Splitter::new(0));
        splitter.feed(bytes, now_ns, |raw| self.raw(raw, clock, now_ns));
        self.splitter = splitter;
    }

    /// Lets go of what has waited long enough.
    pub(super) fn expire(&mut self, clock: &Clock, now_ns: u64) {
        let mut splitter = std::mem::replace(&mut self.splitter, Splitter::new(0));
        splitter.expire(now_ns, |raw| self.raw(raw, clock, now_ns));
        self.splitter = splitter;
        let whole: Vec<Joined<'static>> = self.partials.expire(now_ns).collect();
        for joined in whole {
            self.of_container(&joined, clock, now_ns);
        }
        let Self { joiner, ready, streams, tags, labels, .. } = self;
        let mut names = Names { streams, tags, labels };
        joiner.expire(now_ns, |key, record| names.insert(ready, key, record));
    }

    /// Lets go of all: the file has ended.
    pub(super) fn finish(&mut self, clock: &Clock, now_ns: u64) {
        self.over = true;
        let mut splitter = std::mem::replace(&mut self.splitter, Splitter::new(0));
        splitter.finish(|raw| self.raw(raw, clock, now_ns));
        self.splitter = splitter;
        let whole: Vec<Joined<'static>> = self.partials.expire(u64::MAX).collect();
        for joined in whole {
            self.of_container(&joined, clock, now_ns);
        }
        let Self { joiner, ready, streams, tags, labels, .. } = self;
        let mut names = Names { streams, tags, labels };
        joiner.finish(|key, record| names.insert(ready, key, record));
    }

    /// The records that none can come before, in their order, and the offset up to which all is done.
    pub(super) fn take(&mut self) -> (Vec<(Stream, Record)>, u64) {
        let held = [self.joiner.oldest(), self.partials.oldest()];
        let end = held.into_iter().flatten().min();
        let done = end.unwrap_or(self.splitter.done_offset()).max(self.done);
        let waiting = match end {
            Some(end) => self.ready.split_off(&end),
            None => BTreeMap::new(),
        };
        self.done = done;
        (std::mem::replace(&mut self.ready, waiting).into_values().collect(), done)
    }

    /// The file has ended: what [`Text::take`] gives next is the last.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    fn raw(&mut self, raw: RawLine<'_>, clock: &Clock, now_ns: u64) {
        let whole = text(raw.bytes);
        let notes = raw.notes();
        if self.form == Form::Container
            && let Some(piece) =
                if whole.starts_with('{') { docker(&whole, clock) } else { cri(&whole, clock) }
        {
            let joined = self.partials.feed(piece, raw.offset, now_ns);
            if let Some(joined) = joined {
                let joined = Joined { text: joined.text.into_owned().into(), ..joined };
                self.of_container(&joined, clock, now_ns);
            }
            return;
        }
        self.line(&whole, (raw.offset, None, None), notes, clock, now_ns);
    }

    fn of_container(&mut self, joined: &Joined<'_>, clock: &Clock, now_ns: u64) {
        let notes =
            if joined.is_partial { vec![("partial".to_owned(), "true".to_owned())] } else { Vec::new() };
        self.line(
            &joined.text,
            (joined.position, Some(joined.pipe.name()), Some(joined.at)),
            notes,
            clock,
            now_ns,
        );
    }

    fn line(
        &mut self,
        whole: &str,
        (position, pipe, at): (u64, Option<&'static str>, Option<agent_common::units::UnixNs>),
        notes: Vec<(String, String)>,
        clock: &Clock,
        now_ns: u64,
    ) {
        // Nothing is in an empty line but the end of what is joined, which sees it.
        let parsed = line(whole, clock);
        let tag = parsed.tag.filter(|tag| tag.len() <= MAX_TAG_BYTES);
        let number = tag.map_or(0, |tag| self.number(tag));
        let is_headed = parsed.is_headed;
        let pid = parsed.pid.unwrap_or(0);
        let mut record = parsed.into_record(at.unwrap_or(clock.now), position);
        record.fields.extend(notes);
        let Self { joiner, ready, streams, tags, labels, .. } = self;
        let mut names = Names { streams, tags, labels };
        joiner.feed((pipe, number, pid), record, is_headed, now_ns, |key, record| {
            names.insert(ready, key, record);
        });
    }

    /// The number of a tag; 0: too many.
    fn number(&mut self, tag: &str) -> u32 {
        if let Some(number) = self.tags.get(tag) {
            return *number;
        }
        if self.tags.len() >= MAX_TAGS {
            return 0;
        }
        let number = self.tags.len() as u32 + 1;
        self.tags.insert(tag.to_owned(), number);
        number
    }
}

/// The streams of one file.
struct Names<'t> {
    streams: &'t mut HashMap<(Option<&'static str>, u32), Stream>,
    tags: &'t HashMap<String, u32>,
    labels: &'t [(String, String)],
}

impl Names<'_> {
    /// A record is done. Its secrets go only now: a key has many lines, and they are joined.
    fn insert(&mut self, ready: &mut BTreeMap<u64, (Stream, Record)>, key: Key, record: Record) {
        ready.insert(record.position, (self.stream(key), super::redacted(record)));
    }

    fn stream(&mut self, (pipe, tag, _): Key) -> Stream {
        if let Some(known) = self.streams.get(&(pipe, tag)) {
            return known.clone();
        }
        let comm = self.tags.iter().find(|(_, number)| **number == tag).map(|(tag, _)| tag.as_str());
        let mut labels = self.labels.to_vec();
        for (name, value) in [("comm", comm), ("stream", pipe)] {
            labels.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        }
        let stream = Stream::new(labels);
        self.streams.insert((pipe, tag), stream.clone());
        stream
    }
}

#[cfg(test)]
mod tests {
    use agent_common::units::UnixNs;

    use super::*;

    const CLOCK: Clock = Clock { now: UnixNs(1_796_040_000_000_000_000), utc_offset_s: 0 };

    fn text_of(form: Form) -> Text {
        Text::new(form, vec![("host".to_owned(), "h".to_owned())], 0)
    }

    #[test]
    fn records_of_two_programs_keep_their_order_and_are_done_in_it() {
        let mut text = text_of(Form::Plain);
        let lines = "Nov 30 12:00:00 h app[7]: Traceback (most recent call last):\n\
                     Nov 30 12:00:00 h other[8]: hello\n\
                     Nov 30 12:00:00 h app[7]:   File \"a.py\", line 1, in <module>\n\
                     Nov 30 12:00:00 h other[8]: again\n\
                     Nov 30 12:00:00 h app[7]: KeyError: 'x'\n";
        for byte in lines.as_bytes() {
            text.feed(&[*byte], &CLOCK, 0);
            let (records, done) = text.take();
            assert!(records.is_empty(), "{records:?}");
            assert_eq!(done, 0, "the trace is open");
        }
        text.expire(&CLOCK, 10_000_000_000);
        let (records, done) = text.take();
        assert_eq!(done, lines.len() as u64);
        let seen: Vec<(&str, usize)> = records
            .iter()
            .map(|(stream, record)| (stream.get("comm").unwrap_or_default(), record.message.lines().count()))
            .collect();
        assert_eq!(seen, [("app", 3), ("other", 1), ("other", 1)]);
        assert!(records.is_sorted_by_key(|(_, record)| record.position));
    }

    #[test]
    fn no_secret_is_in_a_record() {
        let mut text = text_of(Form::Plain);
        let lines = "{\"msg\":\"login\",\"db\":{\"password\":\"hunter2\"},\"n\":1}\n\
                     login user=a password=hunter2 n=1\n\
                     -----BEGIN RSA PRIVATE KEY-----\nMIIhunter2\nhunter2==\n-----END RSA PRIVATE KEY-----\n\
                     after\n";
        for byte in lines.as_bytes() {
            text.feed(&[*byte], &CLOCK, 0);
        }
        text.finish(&CLOCK, 1);
        let (records, _) = text.take();
        let shown = format!("{records:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        for there in ["login", "(\"n\", \"1\")", "db.password", "after"] {
            assert!(shown.contains(there), "{there}: {shown}");
        }
    }

    #[test]
    fn a_container_says_its_pipe_and_its_pieces_are_one_line() {
        let mut text = text_of(Form::Container);
        text.feed(
            b"2026-11-30T11:00:00Z stdout P one \n2026-11-30T11:00:00Z stderr F error: x\n2026-11-30T11:00:01Z stdout F two\n",
            &CLOCK,
            0,
        );
        text.feed(
            b"{\"log\":\"docker\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-30T11:00:02Z\"}\n",
            &CLOCK,
            0,
        );
        text.finish(&CLOCK, 1);
        let (records, _) = text.take();
        let seen: Vec<(&str, &str)> = records
            .iter()
            .map(|(stream, record)| (stream.get("stream").unwrap_or_default(), record.message.as_str()))
            .collect();
        assert_eq!(seen, [("stdout", "one two"), ("stderr", "error: x"), ("stdout", "docker")]);
    }
}
