// Names of functions, for places with little room.
import { name } from '../format';

/** The part of it that people know it by: without arguments and types, the last two words. `<a::B<T> as c::D>::e(int)` → `B::e`. */
export function short(text: string): string {
  if (text.length < 8 || text.startsWith('[')) return text;
  let bare = text.replace(/^<(.*?) as .*>::/, '$1::');
  // Types and arguments stand in each other.
  for (let before = ''; before !== bare;) {
    before = bare;
    bare = bare.replace(/::<[^<>]*>|<[^<>]*>|\([^()]*\)|\{\{closure\}\}::?/g, '');
  }
  bare = bare.replace(/ (const|\[clone .*)$/, '').replace(/^.* (?=\S+$)/, '').replace(/[<>]/g, '');
  const words = bare.split('::').filter((word) => word !== '');
  const kept = words.slice(-2).join('::');
  return kept.length >= 2 ? kept : text;
}

/** The last part of a path. */
export const file = (path: string) => path.slice(path.lastIndexOf('/') + 1) || path;

/** The crate, package or file that a function belongs to. */
export function packageOf(text: string, module: string, kernel: boolean): string {
  if (kernel) return module ? file(module) : 'kernel';
  const path = /^[<&*([]*(?:(?:dyn|mut|impl) )?([A-Za-z_]\w*)(?:\[[0-9a-f]+\])?::/.exec(text);
  if (path) return path[1]!;
  const dotted = /^((?:[A-Za-z_$][\w$]*[./])+)[A-Za-z_$<]/.exec(text);
  if (dotted && !module) return dotted[1]!.slice(0, -1).split(/[./]/).slice(0, 3).join('.');
  return module ? file(module) : 'no file';
}

export const clean = (text: string) => name(text, 2_000);
