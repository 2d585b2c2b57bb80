// Words for what is lost, how walks up stacks ended, and what the collector itself takes.
import { name } from './format';

/** By reason of `s7mpa_lost`. */
const LOSSES: Readonly<Record<string, string>> = {
  syscall_map_full: 'system calls not counted: table full',
  syscall_unpaired: 'system calls not timed: they began before the agent looked',
  syscall_entry_full: 'system calls not timed: table full',
  sample_ring_full: 'samples lost: buffer full',
  process_ring_full: 'process events lost: buffer full',
  read_failed: 'structures of the kernel that could not be read',
  no_scratch: 'events lost: no buffer',
  kernel_stack_failed: 'kernel stacks that could not be read',
  user_stack_failed: 'user stacks that could not be read',
  filter_full: 'child processes not observed: table full',
  block_open_full: 'disk requests not counted: table full',
  block_map_full: 'disk requests not counted: table full',
  thread_open_full: 'waits for memory or locks not counted: table full',
  memory_map_full: 'memory events not counted: table full',
  net_map_full: 'socket events not counted: table full',
  signal_map_full: 'signals not counted: table full',
  lock_map_full: 'waits for locks not counted: table full',
  sched_slots_full: 'events of threads not accounted: table full',
  program_skipped: 'events missed: the probe was busy',
  wait_ring_full: 'waits lost: buffer full',
  blame_map_full: 'waits for a CPU of which the cause is lost: table full',
  sample_timer_stopped: 'samples lost: a CPU had no tick of the timer (the hypervisor ran another guest, or interrupts were off)',
  mapping_ring_full: 'news of what processes mapped lost: buffer full',
  unwind_no_room: 'files or processes without room for their unwind tables',
  file_system_no_answer: 'files or processes given up: their file system does not answer',
  files_left_alone: 'looks at files left out: their file system does not answer, or their user has used up the time',
};
export const lossWords = (reason: string) => LOSSES[reason] ?? name(reason.replaceAll('_', ' '), 80);

/** By verdict of `s7mpa_unwound` and `s7mpa_python_stacks`. */
const VERDICTS: Readonly<Record<string, string>> = {
  complete: 'complete, by unwind tables',
  frame_pointers: 'complete, by frame pointers',
  none: 'no user stack: kernel threads',
  truncated: 'cut: deeper than the limit',
  no_process: 'by the kernel: the process is not known yet',
  no_mapping: 'cut: an address outside of all files',
  pending: 'cut: the tables are not made yet',
  no_table: 'cut: the file has no unwind table',
  jit: 'cut: code made while it runs',
  unsupported: 'cut: a rule that the unwinder does not have',
  fault: 'cut: memory that could not be read',
  astray: 'cut: the walk went astray',
  compat: 'by the kernel: a 32-bit process',
  no_bpf_loop: 'by the kernel: it is too old for unwind tables',
  no_thread: 'a thread without Python code',
};
export const verdictWords = (key: string) => VERDICTS[key] ?? name(key.replaceAll('_', ' '), 80);

export const TIERS = {
  times: 'counted and timed', counts: 'counted, not timed',
};
