//! Texts that were changed at random, the same in each run: none of them may panic.

mod entries;

/// Changed texts.
const ROUNDS: usize = 20_000;

const TEXTS: [&str; 5] = [
    "cpu,host=web,cpu=cpu0 usage_idle=97.5,n=-3i,u=5u,up=t,version=\"1, 2\" 1700000000000000000\n",
    "m,a\\ b=c\\,d e\\=f=1e5,g=TRUE\nm  h=1i \n# comment \"\n\nm i=\"two\nlines \\\" \\\\\",j=.5 -7\r\n",
    "m,t=\"quote a=1 5\nm a=\"open\nm b=2 6\nm a=9223372036854775808i\nm a=18446744073709551615u",
    "ü,é=\u{1f600} ä=1 1\n m\ta=1\nm a=1 2 3\n,=  \nm,=a b=1\nm a=NaN,b=inf",
    "s7mpa_process,host=h,pid=7 user_ns=1i,state=\"S\" 5\ns7mpa_process,host=h,pid=8 user_ns=2i 6\n",
];
const HARD: [&str; 16] = [
    "\"",
    "\\",
    "\n",
    "\r\n",
    " ",
    ",",
    "=",
    "\u{0}",
    "\t",
    "#",
    "u",
    "i",
    "e",
    "-",
    "\u{10ffff}",
    "99999999999999999999",
];

/// Numbers that are the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

#[test]
fn no_text_breaks_the_reader_of_lines() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for text in TEXTS {
        entries::lines(text);
    }
    for _ in 0..ROUNDS {
        let mut chars: Vec<char> = TEXTS[numbers.below(TEXTS.len())].chars().collect();
        for _ in 0..=numbers.below(6) {
            let at = numbers.below(chars.len());
            let end = (at + numbers.below(10)).min(chars.len());
            match numbers.below(3) {
                0 => drop(chars.drain(at..end)),
                1 => drop(chars.splice(at..end, HARD[numbers.below(HARD.len())].chars())),
                _ => {
                    let piece: Vec<char> = chars[at..end].to_vec();
                    chars.splice(at..at, piece.repeat(1 + numbers.below(40)));
                }
            }
        }
        entries::lines(&chars.into_iter().collect::<String>());
    }
}
