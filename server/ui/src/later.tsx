// Views that are loaded when they are opened. Their script puts them into `parts`; a saved page has it beside its own.
import type { FunctionComponent } from 'preact';
import { useEffect } from 'preact/hooks';
import { signal } from '@preact/signals';
import { saved } from './api/http';
import { Failed, Loading } from './parts/notes';
import { laterAddress } from './trusted';

/** Loaded views by name. */
export const parts = signal<Readonly<Record<string, FunctionComponent>>>({});
const failed = signal<Error | null>(null);

export function loadParts() {
  if (saved) return;
  failed.value = null;
  import(laterAddress()).catch((error: Error) => { failed.value = error; });
}

/** A view that stands for one of `parts` until it is loaded. */
export const later = (name: string): FunctionComponent => function Later() {
  const View = parts.value[name];
  useEffect(() => { if (!View) loadParts(); }, []);
  if (View) return <View />;
  if (saved) return <><h1>{name}</h1><p class="empty">This view is not in the saved page.</p></>;
  return failed.value
    ? <><h1>{name}</h1><Failed error={failed.value} what="This view" /><p><button onClick={loadParts}>Try again</button></p></>
    : <><h1 class="sr">{name}</h1><Loading what="The view" /></>;
};
