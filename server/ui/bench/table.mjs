// What a table of 2,000 processes costs that change each second: share of a core in the main thread, longest task, nodes, heap.
//   node bench/table.mjs [PAGE] [SECONDS] [ROWS]     exit 1: over the budget
// The page is that of a development server (dev.mjs) before a running agent; what the agent says of its processes is replaced by made-up ones.
import { launch } from '../browser/browser.mjs';

const [page_url = 'http://127.0.0.1:5173/', seconds = '30', rows = '2000'] = process.argv.slice(2);
const HASH = process.env.HASH ?? '#/processes';
const ROWS = Number(rows);
/** Bars: share of a core, ms. */
const MOST_SHARE = 0.08;
const MOST_TASK_MS = 50;

// The same each run.
let seed = 1;
const random = () => ((seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32);
const COMMS = ['postgres', 'nginx', 'java', 'python3', 'node', 'kworker/0:1', 'containerd-shim', 'redis-server', 'etcd', 'bash'];
const STATES = ['poll_ns', 'futex_wait_ns', 'sleep_ns', 'disk_read_ns', 'fsync_ns', 'futex_lock_ns', 'net_recv_ns', 'runq_woken_ns', 'runq_preempted_ns'];
const fixed = Array.from({ length: ROWS }, (_, at) => ({
  pid: 1_000 + at, start_ms: 10_000 + at * 7, comm: COMMS[at % COMMS.length], threads: 1 + Math.floor(random() ** 4 * 60), busy: random() ** 6,
  labels: at % 3 ? { cgroup: `/system.slice/app-${at % 40}.service`, unit: `app-${at % 40}.service` }
    : { cgroup: `/kubepods/pod${at % 50}/c${at % 90}`, container: `web-${at % 90}`, pod: `web-${at % 50}`, namespace: 'shop', image: 'registry.example/shop/web:1.4' },
}));
function answer(span_s) {
  const processes = fixed.map(({ pid, start_ms, comm, threads, busy, labels }) => {
    const time = threads * span_s * 1e9;
    const oncpu = time * busy * random();
    const states = { oncpu_ns: oncpu, lost_ns: 0 };
    let left = time - oncpu;
    for (const key of STATES.slice(1)) {
      if (random() < 0.4) continue;
      const part = left * busy * 0.2 * random();
      states[key] = Math.round(part);
      if (/disk|fsync|lock|runq/.test(key)) states.lost_ns += Math.round(part);
      left -= part;
    }
    states.poll_ns = Math.round(left);
    const much = busy * random();
    const values = {
      context_switches: Math.round(much * 1e4), fd_limit: 1024, fds: Math.round(20 * busy + 5), in_flight_age_ns: Math.round(random() * 1e9), maj_flt: 0,
      min_flt: Math.round(much * 1e3), offcpu_ns: Math.round(time - oncpu), processes: 1, read_bytes: Math.round(much * 1e6), rss_bytes: Math.round((1 + much) * 4e7),
      runq_ns: Math.round(much * 1e8), short_lived: 0, swap_bytes: 0, syscall_errors: Math.round(much * 1e3), syscall_ns: Math.round(time * 0.9),
      syscalls: Math.round(much * 1e5), system_ns: Math.round(oncpu / 2), threads, user_ns: Math.round(oncpu / 2), write_bytes: Math.round(much * 2e6),
    };
    return { comm, host: 'vm', labels, pid, start_ms, states, values };
  });
  processes.sort((a, b) => b.states.lost_ns - a.states.lost_ns);
  const to = new Date();
  return { from: new Date(to - span_s * 1_000).toISOString(), host: 'vm', processes, span_s, to: to.toISOString(), total: ROWS };
}
// Made before they are asked for: their making is not the page's work, yet it is on the same machine.
const made = Array.from({ length: 10 }, () => JSON.stringify(answer(10)));

const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
const errors = [];
page.on('pageerror', (error) => errors.push(error.message));
let asked = 0;
await page.route(/\/hosts\/[^/]+\/processes\?/, (route) => route.fulfill({ contentType: 'application/json', body: made[asked++ % made.length] }));
await page.goto(page_url + HASH);
await page.waitForFunction((least) => Number(document.querySelector('.virtual table')?.getAttribute('aria-rowcount') ?? 0) >= least, HASH.includes('tree') || HASH.includes('q=') ? 1 : ROWS, { timeout: 20_000 });
await page.waitForTimeout(4_000);
const cdp = await page.context().newCDPSession(page);
await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
const metrics = async () => Object.fromEntries((await cdp.send('Performance.getMetrics')).metrics.map(({ name, value }) => [name, value]));
const collected = async () => {
  await cdp.send('HeapProfiler.collectGarbage');
  return (await metrics()).JSHeapUsedSize;
};
const heap = await collected();
// The length of tasks by the thread's own clock: on a busy machine a short one can take long.
const events = [];
cdp.on('Tracing.dataCollected', ({ value }) => events.push(...value));
await cdp.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig: { includedCategories: ['toplevel', 'devtools.timeline', '__metadata'] } });
const answers = asked;
const before = await metrics();
const begin = performance.now();
await page.waitForTimeout(Number(seconds) * 1_000);
const after = await metrics();
// On a busy machine a wait is longer than it was to be.
const wall = (performance.now() - begin) / 1_000;
const complete = new Promise((done) => cdp.once('Tracing.tracingComplete', done));
await cdp.send('Tracing.end');
await complete;
const main = events.filter(({ ph, name, args }) => ph === 'M' && name === 'thread_name' && args.name === 'CrRendererMain').map(({ pid, tid }) => `${pid} ${tid}`);
const onMain = events.filter(({ ph, pid, tid, tdur }) => ph === 'X' && tdur !== undefined && main.includes(`${pid} ${tid}`));
const tasks = onMain.filter(({ name }) => name === 'RunTask' || name === 'ThreadControllerImpl::RunTask').sort((a, b) => b.tdur - a.tdur);
const kinds = new Map();
for (const { name, tdur } of onMain) kinds.set(name, (kinds.get(name) ?? 0) + tdur / 1_000 / wall);
const grown = (await collected()) - heap;
const part = (name) => (after[name] - before[name]) / wall;
const pct = (value) => `${(100 * value).toFixed(2)} %`;
const longest = (tasks[0]?.tdur ?? NaN) / 1_000;
const inside = onMain.filter(({ ts, name, tdur }) => tasks[0] && ts > tasks[0].ts && ts < tasks[0].ts + tasks[0].dur && !name.includes('RunTask') && tdur > 2_000).map(({ name, tdur }) => `${name} ${(tdur / 1_000).toFixed(0)}`);
console.log(`${ROWS} rows, ${HASH}: ${asked - answers} answers of ${(made[0].length / 1024).toFixed(0)} KiB in ${wall.toFixed(1)} s`);
console.log(`main thread ${pct(part('TaskDuration'))} of a core (script ${pct(part('ScriptDuration'))}, style ${pct(part('RecalcStyleDuration'))}, layout ${pct(part('LayoutDuration'))})`);
console.log(`  ms each second: ${[...kinds].filter(([name]) => !name.includes('RunTask')).sort((a, b) => b[1] - a[1]).slice(0, 10).map(([name, ms]) => `${name} ${ms.toFixed(1)}`).join(', ')}`);
console.log(`longest tasks, CPU time: ${tasks.slice(0, 3).map(({ tdur }) => (tdur / 1_000).toFixed(0)).join(', ')} ms (in the longest: ${inside.join(', ')}); nodes ${after.Nodes} (${after.Nodes - before.Nodes}); heap ${(grown / 1024).toFixed(0)} KiB more`);
if (errors.length) console.log(`errors: ${errors.join('; ')}`);
await browser.close();
const bad = part('TaskDuration') > MOST_SHARE || !(longest <= MOST_TASK_MS) || errors.length > 0 || asked - answers < wall * 0.5;
if (bad) console.log('over the budget');
process.exit(bad ? 1 : 0);
