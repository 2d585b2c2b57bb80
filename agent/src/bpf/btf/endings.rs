//! What the programs that see ends ask of the kernel's types.

use agent_common::abi::endings::EndingOffsets;
use agent_common::abi::settings::NO_OFFSET;

use super::Btf;

impl Btf {
    /// Offsets of the programs that see ends.
    pub(crate) fn ending_offsets(&self) -> EndingOffsets {
        let at = |structure, path| self.offset(structure, path);
        let memory = self.enumerator("cgroup_subsys_id", "memory_cgrp_id");
        let cgroups_memory = match (at("css_set", "subsys"), memory) {
            (NO_OFFSET, _) | (_, None) => NO_OFFSET,
            (subsystems, Some(memory)) => subsystems + memory * 8,
        };
        EndingOffsets {
            mm_arg_start: at("mm_struct", "arg_start"),
            mm_arg_end: at("mm_struct", "arg_end"),
            mm_env_end: at("mm_struct", "env_end"),
            mm_total_vm: at("mm_struct", "total_vm"),
            mm_data_vm: at("mm_struct", "data_vm"),
            signal_rlim: at("signal_struct", "rlim"),
            task_error_code: at("task_struct", "thread.error_code"),
            task_trap_nr: at("task_struct", "thread.trap_nr"),
            task_cgroups: at("task_struct", "cgroups"),
            cgroups_memory,
            css_parent: at("cgroup_subsys_state", "parent"),
            css_cgroup: at("cgroup_subsys_state", "cgroup"),
            cgroup_kn: at("cgroup", "kn"),
            kn_name: at("kernfs_node", "name"),
            memory_max: at("mem_cgroup", "memory.max"),
            memory_usage: at("mem_cgroup", "memory.usage"),
            dentry_parent: at("dentry", "d_parent"),
            vma_flags: at("vm_area_struct", "vm_flags"),
            vma_start: at("vm_area_struct", "vm_start"),
            vma_pgoff: at("vm_area_struct", "vm_pgoff"),
            vma_file: at("vm_area_struct", "vm_file"),
            inode_size: at("inode", "i_size"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_what_is_asked_of_an_end() {
        let offsets = Btf::of_kernel().expect("BTF").ending_offsets();
        for offset in [
            offsets.mm_arg_start,
            offsets.mm_env_end,
            offsets.signal_rlim,
            offsets.task_error_code,
            offsets.kn_name,
            offsets.dentry_parent,
            offsets.mm_data_vm,
            offsets.vma_flags,
            offsets.vma_start,
            offsets.vma_pgoff,
            offsets.inode_size,
        ] {
            assert_ne!(offset, NO_OFFSET, "{offsets:?}");
        }
    }
}
