// Light or dark: as the system says, or as the viewer chose here.
import { effect, signal } from '@preact/signals';

export type Choice = 'system' | 'light' | 'dark';
const KEY = 's7mpa-theme';
const stored = () => { try { return localStorage.getItem(KEY) as Choice | null; } catch { return null; } };

export const choice = signal<Choice>(stored() ?? 'system');
/** What is in force; canvases draw again when it changes. */
export const theme = signal<'light' | 'dark'>('light');

export function startTheme() {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    theme.value = choice.value === 'system' ? (dark.matches ? 'dark' : 'light') : choice.value;
    document.documentElement.dataset.theme = theme.value;
  };
  dark.addEventListener('change', apply);
  effect(apply);
}

export function choose(next: Choice) {
  choice.value = next;
  try { localStorage.setItem(KEY, next); } catch { /* not kept */ }
}

/** Value of a colour variable, for canvases. Reads `theme`, so an effect that calls it follows it. */
export function colour(name: string): string {
  theme.value;
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
