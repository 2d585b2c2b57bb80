//! What is mapped at the address of a fault.

use core::ffi::c_void;

use agent_common::abi::endings::{COMPONENT_BYTES, Ending, NO_MAPPING, PAST_END, UNKNOWN_MAPPING};
use aya_ebpf::helpers::bpf_get_current_task_btf;
use aya_ebpf::helpers::generated::{bpf_find_vma, bpf_probe_read_kernel_str};

use super::{PAGE, ending_offset};
use crate::kernel::KernelPtr;
use crate::kernel::task::at;

const S_IFMT: u16 = 0o170_000;
const S_IFREG: u16 = 0o100_000;

/// What of a mapping a callback of `bpf_find_vma` notes.
#[repr(C)]
struct Found {
    address: u64,
    /// As in an [`Ending`].
    mapping: u64,
    name: [u8; COMPONENT_BYTES],
}

/// Callback of `bpf_find_vma`.
extern "C" fn note_mapping(_task: *mut c_void, vma: *mut c_void, found: *mut c_void) -> i64 {
    let vma = KernelPtr(vma.cast_const().cast());
    let found = found.cast::<Found>();
    let permissions = vma.value(ending_offset!(vma_flags)) & 7;
    let file = vma.follow(ending_offset!(vma_file));
    let inode = file.and_then(|file| file.follow(at!(file_inode)));
    let is_regular =
        |inode: &KernelPtr| inode.read::<u16>(at!(inode_mode)).unwrap_or_default() & S_IFMT == S_IFREG;
    let size = inode.filter(is_regular).and_then(|inode| inode.read::<u64>(ending_offset!(inode_size)));
    // SAFETY: `of_fault` passes it.
    let address = unsafe { (*found).address };
    let page = (address.wrapping_sub(vma.value(ending_offset!(vma_start))) / PAGE)
        .wrapping_add(vma.value(ending_offset!(vma_pgoff)));
    let is_past_end = size.is_some_and(|size| page >= size.div_ceil(PAGE));
    // SAFETY: as above.
    unsafe { (*found).mapping = permissions | if is_past_end { u64::from(PAST_END) } else { 0 } };
    let name =
        file.and_then(|file| file.follow(at!(file_dentry))).and_then(|entry| entry.follow(at!(dentry_name)));
    if let Some(name) = name {
        // SAFETY: as above; the helper checks the address.
        unsafe {
            let to = (&raw mut (*found).name).cast();
            bpf_probe_read_kernel_str(to, COMPONENT_BYTES as u32, name.0.cast());
        }
    }
    0
}

/// What is mapped at the address of a fault of the current task: since 5.17.
#[inline(always)]
pub(super) fn of_fault(header: &mut Ending) {
    const ENOENT: i64 = 2;
    let mut found = Found { address: header.address, mapping: 0, name: [0; COMPONENT_BYTES] };
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
        0 => found.mapping as u16,
        failed if failed == -ENOENT => NO_MAPPING,
        _ => UNKNOWN_MAPPING,
    };
}
