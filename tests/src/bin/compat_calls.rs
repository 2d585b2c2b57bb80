//! Makes calls through the 32-bit entry: `getpid` is number 20 there, which is `writev` in the 64-bit table.
//! `compat_calls COUNT`

#[cfg(target_arch = "x86_64")]
fn main() {
    let count = tests::workload::argument(1, 1000);
    tests::workload::ready();
    for _ in 0..count {
        let mut result: i64 = 20;
        // SAFETY: i386's getpid takes nothing; the kernel may clear r8 to r11.
        unsafe {
            std::arch::asm!("int 0x80", inout("rax") result, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
        }
        assert_eq!(result, i64::from(std::process::id()), "the 32-bit entry works");
    }
    tests::workload::done("");
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    tests::workload::ready();
}
