// What a button does that changes something on the server.
import { useSignal } from '@preact/signals';
import { Refusal } from '../api/http';
import { missed } from '../api/live';

/** Runs what changes something, has all that is shown asked for again, and keeps why it failed: in the words for its status, else in the server's. */
export function useAct(words: Readonly<Record<number, string>>) {
  const failed = useSignal('');
  const busy = useSignal(false);
  const run = async (act: () => Promise<unknown>): Promise<boolean> => {
    busy.value = true;
    failed.value = '';
    try {
      await act();
      missed.value++;
      return true;
    } catch (error) {
      failed.value = (error instanceof Refusal ? words[error.status] : undefined) ?? (error as Error).message;
      return false;
    } finally {
      busy.value = false;
    }
  };
  return { run, busy: busy.value, note: failed.value ? <p class="note bad" role="alert">{failed.value}</p> : null };
}
