//! What is mapped at the address of a fault.

use core::ffi::c_void;

use agent_common::abi::endings::{COMPONENT_BYTES, Ending, NO_MAPPING, UNKNOWN_MAPPING};
use aya_ebpf::helpers::bpf_get_current_task_btf;
use aya_ebpf::helpers::generated::{bpf_find_vma, bpf_probe_read_kernel_str};

use super::ending_offset;
use crate::kernel::KernelPtr;
use crate::kernel::task::at;

/// What of a mapping a callback of `bpf_find_vma` notes.
#[repr(C)]
struct Found {
    flags: u64,
    name: [u8; COMPONENT_BYTES],
}

/// Callback of `bpf_find_vma`.
extern "C" fn note_mapping(_task: *mut c_void, vma: *mut c_void, found: *mut c_void) -> i64 {
    let vma = KernelPtr(vma.cast_const().cast());
    let flags = vma.value(ending_offset!(vma_flags));
    // SAFETY: `of_fault` passes it.
    unsafe { (*found.cast::<Found>()).flags = flags };
    let name = vma
        .follow(ending_offset!(vma_file))
        .and_then(|file| file.follow(at!(file_dentry)))
        .and_then(|entry| entry.follow(at!(dentry_name)));
    if let Some(name) = name {
        // SAFETY: as above; the helper checks the address.
        unsafe {
            let to = (&raw mut (*found.cast::<Found>()).name).cast();
            bpf_probe_read_kernel_str(to, COMPONENT_BYTES as u32, name.0.cast());
        }
    }
    0
}

/// What is mapped at the address of a fault of the current task: since 5.17.
#[inline(always)]
pub(super) fn of_fault(header: &mut Ending) {
    const ENOENT: i64 = 2;
    let mut found = Found { flags: 0, name: [0; COMPONENT_BYTES] };
    // SAFETY: the current task; the callback takes what it is given here.
    let done = unsafe {
        bpf_find_vma(
            bpf_get_current_task_btf(),
            header.address,
            note_mapping as *mut c_void,
            (&raw mut found).cast(),
            0,
        )
    };
    header.mapped = found.name;
    header.mapping = match done {
        0 => (found.flags & 7) as u16,
        failed if failed == -ENOENT => NO_MAPPING,
        _ => UNKNOWN_MAPPING,
    };
}
