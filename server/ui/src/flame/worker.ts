// The worker of the page: makes of the bytes of a flame graph what is drawn, so that the page itself never stands still.
import { opened } from './opened';

interface Job { readonly id: number; readonly bytes: ArrayBuffer; readonly by: 'value' | 'base' }
const scope = self as unknown as DedicatedWorkerGlobalScope;

/** Memory of columns, which is handed over and not copied. */
function buffers(all: object): ArrayBuffer[] {
  const found: ArrayBuffer[] = [];
  for (const each of Object.values(all)) if (ArrayBuffer.isView(each)) found.push(each.buffer as ArrayBuffer);
  return found;
}

scope.addEventListener('message', ({ data: { id, bytes, by } }: MessageEvent<Job>) => {
  try {
    const all = opened(bytes, by);
    const { graph, layout, functions } = all;
    scope.postMessage({ id, opened: all }, [...new Set([...buffers(graph), ...buffers(graph.frames), ...buffers(layout), ...buffers(functions)])]);
  } catch (error) {
    scope.postMessage({ id, error: (error as Error).message });
  }
});
