//! Facts whose texts were changed at random, the same in each run: none of them may panic.

mod entries;

/// Changed texts.
const ROUNDS: usize = 10_000;

const TEXTS: [&str; 4] = [
    "c1\nuapp.service\npworker /opt/app/worker /opt/app/worker --serve\nCopenat ENOENT /etc/app.conf\n\
     eTraceback (most recent call last):\u{b}  File \"a.py\", line 3, in f\u{b}FileNotFoundError: [Errno 2] '/etc/app.conf'\n\
     kfile /etc/app.conf\nE1\nE1\nE139\n3error: cannot open /etc/app.conf: No such file or directory",
    "s11\ni1\nF0 nothing\nfmain worker a.c:12\nfmalloc libc.so.6 \nmnofile 1024 1024\nw12 13 x\nw13 12 y\nb1 kill",
    "s6\ni-6\naterminate called after throwing an instance of 'std::bad_alloc'\u{b}  what():  x\nO/a.slice 64 12\n\
     thread 'main' panicked at a.rs:1:2:\u{b}message\nPconnect ECONNREFUSED 127.0.0.1:5432\nSptrace\nUits memory was gone",
    r#"{"process":{"comm":"a","unit":"b.service"},"ended":{"at_ns":5,"code":1},"last_words":[{"at_ns":4,"fd":2,"text":"panic: x"}],"limits":[{"name":"nofile","used":9e300,"limit":-1.0}]}"#,
];
const HARD: [&str; 12] =
    ["\n", "\u{b}", ": ", "\"", "'", "(", "\u{1b}[2J", "\u{202e}", "é", "99999999999999999999", "-1", "\ne"];

#[test]
fn changed_facts_do_not_panic() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound.max(1) as u64) as usize
    };
    for text in TEXTS {
        entries::examine(text);
        for _ in 0..ROUNDS {
            let mut chars: Vec<char> = text.chars().collect();
            for _ in 0..=below(4) {
                let at = below(chars.len());
                let end = (at + below(12)).min(chars.len());
                match below(3) {
                    0 => drop(chars.drain(at..end)),
                    1 => drop(chars.splice(at..end, HARD[below(HARD.len())].chars())),
                    _ => {
                        let piece = chars[at..end].to_vec();
                        let to = below(chars.len());
                        chars.splice(to..to, piece);
                    }
                }
            }
            entries::examine(&chars.into_iter().collect::<String>());
        }
    }
}
