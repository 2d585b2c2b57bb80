// Makes twenty spikes one after the other, and writes down when each was: node spikes.mjs OUT.json [SECONDS] [PAUSE]; then `browser/spikes.mjs LINK OUT.json`.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [out, seconds = '15', pause = '20'] = process.argv.slice(2);
const dir = mkdtempSync(join(tmpdir(), 'spikes-'));
const program = join(dir, 'spikes');
execFileSync('cc', ['-O1', '-g', '-fno-inline', '-fno-omit-frame-pointer', '-pthread', fileURLToPath(new URL('spikes.c', import.meta.url)), '-o', program]);
// Where threads wait, not where they run, shows these; the row of who changed offers that graph.
const FRAMES = {
  cpu: 'spin_in_numbers', sort: 'sort_the_table|cmp|qsort', hash: 'hash_the_text', syscalls: 'ask_for_the_parent', zero: 'read_zero_device', faults: 'touch_new_pages', memory: 'keep_all_memory|memset',
  fsync: 'sync_each_line', 'disk-write': 'write_past_the_cache', 'disk-read': 'read_past_the_cache', lock: 'hold_the_lock', neighbour: 'compete', network: 'flood_the_loopback',
  pipe: 'pass_a_byte_around', children: 'start_short_children', files: 'open_and_close_files', timers: 'sleep_for_moments', copy: 'copy_a_file', stack: 'call_deeply', proc: 'look_into_proc',
};
const spikes = [];
const sleep = (s) => new Promise((done) => setTimeout(done, s * 1_000));
for (const [kind, frame] of Object.entries(FRAMES)) {
  await sleep(Number(pause));
  const comm = `x-${kind}`.slice(0, 15);
  const from = Date.now();
  execFileSync(program, [kind, comm, seconds, dir]);
  spikes.push({ name: kind, comm, frame, from, to: Date.now() });
  writeFileSync(out, JSON.stringify(spikes, null, 1));
  console.log(kind);
}
rmSync(dir, { recursive: true });
