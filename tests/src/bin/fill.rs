//! Fills memory: anonymous, or with the pages of a file it writes. `fill MIB [FILE]`

use std::io::Write as _;

const MIB: usize = 1 << 20;

fn main() {
    let mib = usize::try_from(tests::workload::argument(1, 64)).expect("fits");
    let file = std::env::args().nth(2);
    tests::workload::ready();
    if let Some(path) = file {
        let mut file = std::fs::File::create(path).expect("a file");
        let block = vec![1u8; MIB];
        for _ in 0..mib {
            file.write_all(&block).expect("room on the disk");
        }
    } else {
        let mut kept = Vec::new();
        for _ in 0..mib {
            kept.push(std::hint::black_box(vec![1u8; MIB]));
        }
    }
    tests::workload::done("");
}
