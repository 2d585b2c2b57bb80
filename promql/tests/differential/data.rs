//! An hour of series with all that makes them difficult: resets, gaps, ends, new series in place of old ones, values that are no
//! numbers. The same in each run.

use promql::{Labels, STALE, Sample, Series};

use crate::common::{Numbers, Store};

/// Unix time of the first sample but for [`OFFSET_MS`], a whole hour.
pub(crate) const BEGIN_MS: i64 = 1_699_999_200_000;
/// How long after a whole second the samples come.
pub(crate) const OFFSET_MS: i64 = 137;
/// From one sample to the next.
const STEP_MS: i64 = 10_000;
const COUNT: usize = 360;

/// What becomes of a series at one step.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Sample,
    Missing,
    End,
}

struct Builder {
    numbers: Numbers,
    store: Store,
}

impl Builder {
    fn series(&mut self, name: &str, labels: &[(&str, &str)], values: impl IntoIterator<Item = (Step, f64)>) {
        let named = [("__name__", name)];
        let pairs = named.iter().chain(labels).map(|(name, value)| ((*name).into(), (*value).into()));
        let labels = Labels::new(pairs);
        let samples = values.into_iter().enumerate().filter_map(|(nth, (step, value))| {
            let at_ms = BEGIN_MS + OFFSET_MS + nth as i64 * STEP_MS;
            match step {
                Step::Sample => Some(Sample { at_ms, value }),
                Step::Missing => None,
                Step::End => Some(Sample { at_ms, value: STALE }),
            }
        });
        self.store.series.push(Series { labels, samples: samples.collect() });
    }

    /// A counter that rises by up to `most` a step; one step in `odd` is a reset, a gap or an end.
    fn counter(&mut self, name: &str, labels: &[(&str, &str)], most: f64, odd: u64) {
        let mut now = (self.numbers.share() * 1e4).round();
        let mut gap = 0;
        let mut values = Vec::new();
        for _ in 0..COUNT {
            if gap > 0 {
                gap -= 1;
                values.push((Step::Missing, 0.0));
                continue;
            }
            match self.numbers.below(odd * 3) {
                0 => now = (self.numbers.share() * 10.0).round(),
                1 => gap = self.numbers.below(5) + self.numbers.below(3) * 20,
                2 => {
                    values.push((Step::End, 0.0));
                    gap = self.numbers.below(8);
                    continue;
                }
                _ => now += most * self.numbers.share(),
            }
            values.push((Step::Sample, now));
        }
        self.series(name, labels, values);
    }

    /// A gauge that wanders.
    fn gauge(&mut self, name: &str, labels: &[(&str, &str)], first: f64, width: f64) {
        let mut now = first;
        let mut values = Vec::new();
        for _ in 0..COUNT {
            now += width * (self.numbers.share() - 0.5);
            let missing = self.numbers.below(15) == 0;
            values.push((if missing { Step::Missing } else { Step::Sample }, now));
        }
        self.series(name, labels, values);
    }

    /// Processes that come and go: each has an end.
    fn churn(&mut self) {
        for nth in 0..40 {
            let (begin, length) =
                (self.numbers.below(COUNT as u64 - 20) as usize, 2 + self.numbers.below(60) as usize);
            let mut now = 0.0;
            let mut values = vec![(Step::Missing, 0.0); begin];
            for _ in 0..length.min(COUNT - begin - 1) {
                now += self.numbers.share() * 5.0;
                values.push((Step::Sample, now));
            }
            values.push((Step::End, 0.0));
            let (pid, comm) = (format!("{}", 1000 + nth), ["cc", "ld", "make"][nth % 3]);
            self.series(
                "demo_process_seconds_total",
                &[("pid", &pid), ("comm", comm), ("instance", "a")],
                values,
            );
        }
    }

    fn histogram(&mut self, instance: &str, path: &str) {
        let bounds = ["0.01", "0.05", "0.1", "0.5", "1", "5", "+Inf"];
        let mut counts = [0.0; 7];
        let mut all: Vec<Vec<(Step, f64)>> = vec![Vec::new(); 9];
        let mut sum = 0.0;
        for nth in 0..COUNT {
            let reset = nth == 200;
            if reset {
                (counts, sum) = ([0.0; 7], 0.0);
            }
            for bucket in 0..7 {
                let more = self.numbers.below(6) as f64;
                sum += more * 0.3;
                for count in &mut counts[bucket..] {
                    *count += more;
                }
            }
            let missing = self.numbers.below(30) == 0;
            let step = if missing { Step::Missing } else { Step::Sample };
            for (values, count) in all.iter_mut().zip(counts) {
                values.push((step, count));
            }
            all[7].push((step, counts[6]));
            all[8].push((step, sum));
        }
        let own = [("instance", instance), ("path", path)];
        for (bound, values) in bounds.iter().zip(&all) {
            let labels = [own[0], own[1], ("le", *bound)];
            self.series("demo_latency_seconds_bucket", &labels, values.clone());
        }
        self.series("demo_latency_seconds_count", &own, all[7].clone());
        self.series("demo_latency_seconds_sum", &own, all[8].clone());
    }

    /// Values that are no numbers, not finite, tiny or huge.
    fn odd(&mut self) {
        let odd = [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.0,
            -0.0,
            1e-300,
            1e300,
            -1.5,
            0.25,
            1.0,
            2.0,
            59.9,
        ];
        for (nth, instance) in ["a", "b"].into_iter().enumerate() {
            let values: Vec<(Step, f64)> =
                (0..COUNT).map(|at| (Step::Sample, odd[(at * 5 + at / 7 + nth * 3) % odd.len()])).collect();
            self.series("demo_odd", &[("instance", instance)], values);
        }
        let values = (0..COUNT).map(|at| (Step::Sample, f64::from(u32::try_from(at % 9).unwrap_or(0)) - 4.0));
        let values: Vec<(Step, f64)> = values.collect();
        self.series("demo_signed", &[("instance", "a")], values);
    }
}

/// All series.
pub(crate) fn store() -> Store {
    let mut all = Builder { numbers: Numbers(0x9e37_79b9_7f4a_7c15), store: Store::default() };
    for instance in ["a", "b", "c"] {
        for (mode, most) in [("idle", 10.0), ("user", 3.0), ("system", 1.0), ("iowait", 0.2)] {
            for cpu in ["0", "1"] {
                let labels = [("instance", instance), ("mode", mode), ("cpu", cpu), ("job", "demo")];
                all.counter("demo_cpu_seconds_total", &labels, most, 40);
            }
        }
        for (method, status) in [("GET", "200"), ("GET", "500"), ("POST", "200"), ("POST", "404")] {
            let labels = [("instance", instance), ("method", method), ("status", status), ("job", "demo")];
            all.counter("demo_requests_total", &labels, 100.0, 20);
        }
        for (kind, first) in [("free", 2e9), ("cached", 1e9), ("used", 5e9)] {
            all.gauge(
                "demo_memory_bytes",
                &[("instance", instance), ("type", kind), ("job", "demo")],
                first,
                3e7,
            );
        }
        for (device, size) in [("sda", 1e11), ("sdb", 4e11)] {
            let labels = [("instance", instance), ("device", device), ("job", "demo")];
            all.gauge("demo_disk_used_bytes", &labels, size / 2.0, 1e8);
            all.series("demo_disk_size_bytes", &labels, vec![(Step::Sample, size); COUNT]);
        }
        all.histogram(instance, "/");
        all.histogram(instance, "/api");
        all.gauge("demo_temperature_celsius", &[("instance", instance), ("job", "demo")], 20.0, 4.0);
    }
    for (instance, cpus) in [("a", 2.0), ("b", 4.0), ("c", 2.0)] {
        all.series(
            "demo_cpus",
            &[("instance", instance), ("job", "demo")],
            vec![(Step::Sample, cpus); COUNT],
        );
    }
    // A new version in the middle: another series, the old one ends.
    let half = COUNT / 2;
    let first = (0..=half).map(|at| (if at == half { Step::End } else { Step::Sample }, 1.0));
    all.series(
        "demo_build_info",
        &[("instance", "a"), ("version", "1.0"), ("job", "demo")],
        first.collect::<Vec<_>>(),
    );
    let second = (0..COUNT).map(|at| (if at < half { Step::Missing } else { Step::Sample }, 1.0));
    all.series(
        "demo_build_info",
        &[("instance", "a"), ("version", "1.1"), ("job", "demo")],
        second.collect::<Vec<_>>(),
    );
    // A job that reports rarely: gaps longer than the lookback.
    let rare = (0..COUNT).map(|at| (if at % 50 == 3 { Step::Sample } else { Step::Missing }, at as f64));
    all.series("demo_rare_seconds", &[("instance", "a"), ("job", "batch")], rare.collect::<Vec<_>>());
    let late =
        (0..COUNT).map(|at| (if at % 12 == 1 { Step::Sample } else { Step::Missing }, 1e9 + at as f64));
    all.series("demo_last_success_seconds", &[("instance", "b"), ("job", "batch")], late.collect::<Vec<_>>());
    all.churn();
    all.odd();
    all.store
}
