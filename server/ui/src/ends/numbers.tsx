// What an end is in short: the class of its cause, how sure that is, and whether it is in a loop.
import type { End } from './types';
import { causeMeans, causeWords, certaintyOf, loopWords } from './words';

export function Numbers({ end: each }: { end: End }) {
  const { class: kind, confidence } = each.cause;
  const loop = loopWords(each);
  return (
    <ul class="finding-numbers">
      <li><span class="badge" title={causeMeans(kind)}>{causeWords(kind)}</span></li>
      {kind !== 'unknown' && <li class={confidence < 0.5 ? 'dim' : ''} title={`Confidence ${Math.round(confidence * 100)} %`}>{certaintyOf(each)}</li>}
      {loop && <li><span class="badge bad">↻ {loop}</span></li>}
    </ul>
  );
}
