// Bytes → a graph that can be drawn. Done in a worker; in the page itself where there is none (a saved page, an old browser).
import { saved } from '../api/http';
import { startWorker } from '../trusted';
import { opened, type Opened } from './opened';

interface Waiting { readonly bytes: ArrayBuffer; readonly by: 'value' | 'base'; readonly done: (opened: Opened) => void; readonly failed: (error: Error) => void }
type Reply = { readonly id: number; readonly opened?: Opened; readonly error?: string };

let worker: Worker | null | undefined;
let last = 0;
const waiting = new Map<number, Waiting>();

function inPage({ bytes, by, done, failed }: Waiting) {
  try {
    done(opened(bytes, by));
  } catch (error) {
    failed(error as Error);
  }
}
function start(): Worker | null {
  if (saved) return null;
  try {
    const made = startWorker();
    made.addEventListener('message', ({ data }: MessageEvent<Reply>) => {
      const job = waiting.get(data.id);
      waiting.delete(data.id);
      if (data.opened) job?.done(data.opened);
      else job?.failed(new Error(data.error));
    });
    // It could not be loaded: what it was to do is done here.
    made.addEventListener('error', () => {
      worker = null;
      for (const job of waiting.values()) inPage(job);
      waiting.clear();
    });
    return made;
  } catch {
    return null;
  }
}

/** `by`: which column widths are of. The bytes stay as they are: an export needs them. */
export function open(bytes: ArrayBuffer, by: 'value' | 'base'): Promise<Opened> {
  worker ??= worker === null ? null : start();
  return new Promise((done, failed) => {
    const job = { bytes, by, done, failed };
    if (!worker) return inPage(job);
    waiting.set(++last, job);
    worker.postMessage({ id: last, bytes, by });
    return undefined;
  });
}

