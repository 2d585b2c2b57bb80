//! `/proc/PID/stat` and `schedstat`.

use diagnosis::window::TaskState;

/// The fields of `stat` that are used. Times in ticks, memory in pages, all cumulative or levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat<'a> {
    pub(super) comm: &'a [u8],
    pub(super) values: Values,
}

/// Those without the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) state: TaskState,
    pub(super) parent: u32,
    pub(super) kernel: bool,
    pub(super) nice: i32,
    pub(super) real_time: u8,
    pub(super) min_flt: u64,
    pub(super) maj_flt: u64,
    pub(super) user_ticks: u64,
    pub(super) system_ticks: u64,
    pub(super) threads: u32,
    pub(super) start_ticks: u64,
    pub(super) virtual_bytes: u64,
    pub(super) rss_pages: u64,
}

/// Places of the priority and the nice value behind the state.
const PRIORITY_FIELD: usize = 14;
const NICE_FIELD: usize = 15;

/// `PF_KTHREAD` (include/linux/sched.h, stable since 2.6.27).
const PF_KTHREAD: u64 = 0x0020_0000;

/// Parses a line of `stat`. The name stands in parentheses and may hold any byte, `)` and newline included: the last
/// `)` ends it.
pub(super) fn parse(line: &[u8]) -> Option<Stat<'_>> {
    let open = line.iter().position(|&byte| byte == b'(')?;
    let close = line.iter().rposition(|&byte| byte == b')')?;
    let comm = line.get(open + 1..close)?;
    let mut words = line.get(close + 2..)?.split(|&byte| byte == b' ');
    let state = TaskState::from_letter(*words.next()?.first()?);
    // Fields 4 to 24 of proc(5); only the priority and nice may be negative.
    let mut fields = [0u64; 21];
    let (mut nice, mut real_time) = (0, 0);
    for (at, field) in fields.iter_mut().enumerate() {
        let word = words.next()?;
        *field = number(word);
        match (at, word.strip_prefix(b"-")) {
            // −1 − the priority: −2 to −100, and −101 for `SCHED_DEADLINE`.
            (PRIORITY_FIELD, Some(digits)) => real_time = number(digits).saturating_sub(1) as u8,
            (NICE_FIELD, Some(digits)) => nice = -(number(digits) as i32),
            (NICE_FIELD, None) => nice = number(word) as i32,
            _ => {}
        }
    }
    let [
        parent,
        _,
        _,
        _,
        _,
        flags,
        min_flt,
        _,
        maj_flt,
        _,
        user_ticks,
        system_ticks,
        _,
        _,
        _,
        _,
        threads,
        _,
        start_ticks,
        virtual_bytes,
        rss_pages,
    ] = fields;
    let values = Values {
        state,
        parent: parent as u32,
        kernel: flags & PF_KTHREAD != 0,
        nice,
        real_time,
        min_flt,
        maj_flt,
        user_ticks,
        system_ticks,
        threads: threads as u32,
        start_ticks,
        virtual_bytes,
        rss_pages,
    };
    Some(Stat { comm, values })
}

/// Decimal digits; anything else (a minus sign) gives 0.
pub(super) fn number(word: &[u8]) -> u64 {
    word.iter()
        .try_fold(0u64, |sum, &byte| {
            byte.is_ascii_digit().then(|| sum.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')))
        })
        .unwrap_or(0)
}

/// `schedstat` of a thread, cumulative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sched {
    pub(super) run_ns: u64,
    pub(super) wait_ns: u64,
    pub(super) switched_in: u64,
}

pub(super) fn parse_sched(line: &[u8]) -> Option<Sched> {
    let mut words = line.trim_ascii().split(|&byte| byte == b' ').map(number);
    Some(Sched { run_ns: words.next()?, wait_ns: words.next()?, switched_in: words.next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] =
        b"14355 (a) R (b\n) S 14346 14346 11854 0 -1 4194304 99 1 7 2 31 12 3 4 20 -5 5 0 120276 \
        3133440 386 18446744073709551615 94114546421760 94114546441641 0 0 0\n";

    #[test]
    fn a_line_is_taken_apart_whatever_the_name_holds() {
        let stat = parse(LINE).unwrap();
        assert_eq!(stat.comm, b"a) R (b\n");
        let expected = Values {
            state: TaskState::Sleeping,
            parent: 14346,
            kernel: false,
            nice: -5,
            real_time: 0,
            min_flt: 99,
            maj_flt: 7,
            user_ticks: 31,
            system_ticks: 12,
            threads: 5,
            start_ticks: 120_276,
            virtual_bytes: 3_133_440,
            rss_pages: 386,
        };
        assert_eq!(stat.values, expected);
        let line = String::from_utf8_lossy(LINE).replace(" 20 -5 5 ", " -51 0 5 ");
        let values = parse(line.as_bytes()).unwrap().values;
        assert_eq!((values.real_time, values.nice), (50, 0), "chrt -f 50");
    }

    #[test]
    fn a_kernel_thread_is_known_by_its_flag() {
        let line =
            b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 5 0 0 20 0 1 0 2 0 0 18446744073709551615 0\n";
        assert!(parse(line).unwrap().values.kernel);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"1 (x"), None);
        assert_eq!(parse(b"1 (x) S 1 2 3"), None);
        assert_eq!(parse_sched(b"12 5"), None);
    }

    #[test]
    fn schedstat_is_three_numbers() {
        let sched = Sched { run_ns: 1_227_824, wait_ns: 86_341, switched_in: 2 };
        assert_eq!(parse_sched(b"1227824 86341 2\n"), Some(sched));
    }

    #[test]
    fn letters_go_both_ways() {
        for letter in *b"RSDZTtIX" {
            assert_eq!(TaskState::from_letter(letter).letter(), char::from(letter));
        }
        assert_eq!(TaskState::from_letter(b'P').letter(), '?');
    }
}
