//! Reads from an address that is not mapped.

fn main() {
    tests::workload::ready();
    let nowhere = std::hint::black_box(8 as *const u8);
    // SAFETY: it is the purpose of this program to be killed for this.
    std::hint::black_box(unsafe { nowhere.read_volatile() });
}
