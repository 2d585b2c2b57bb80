//! Kernel ↔ collector types: `repr(C)`, fixed width, no implicit padding.

pub mod blockio;
pub mod drops;
pub mod endings;
pub mod irq;
pub mod locks;
pub mod memory;
pub mod net;
pub mod offcpu;
mod offsets;
pub mod oncpu;
pub mod process;
pub mod python;
pub mod resources;
pub mod runqlat;
pub mod sched;
pub mod settings;
pub mod signals;
pub mod syscalls;
pub mod unwind;

/// Asserts size, alignment and absence of implicit padding of an ABI type at compile time.
///
/// The sum of the listed field sizes must equal the size of the type.
#[macro_export]
macro_rules! assert_abi {
    ($ty:ty, size = $size:expr, align = $align:expr, fields = [$($field:ty),* $(,)?]) => {
        const _: () = {
            assert!(core::mem::size_of::<$ty>() == $size);
            assert!(core::mem::align_of::<$ty>() == $align);
            assert!(0 $(+ core::mem::size_of::<$field>())* == $size);
        };
    };
}

/// `TASK_COMM_LEN` of the kernel: the bytes of a task's name, NUL-padded.
pub const COMM_LEN: usize = 16;
