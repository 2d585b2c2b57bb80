// What the viewer has chosen for one graph; it stands in the address, each under its prefix.
import { params, set } from '../route';

export interface State {
  readonly get: (key: string) => string;
  readonly put: (changed: Readonly<Record<string, string | undefined>>) => void;
}

/** Keys: `kind`, `by`, `parts`, `idle`, `base`, `width`, `zoom`, `q`, `regex`, `colour`, `turn`, `table`, `fn`, `sort`. */
export const stateOf = (prefix: string): State => ({
  get: (key) => params.value[prefix + key] ?? '',
  put: (changed) => set(Object.fromEntries(Object.entries(changed).map(([key, value]) => [prefix + key, value]))),
});
