import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Params } from '../api/http';
import { MOST, linesOf } from './model';
import { MOST_WAITING, pagesOf, type Ask } from './pages';
import type { Line, Lines } from './types';

const line = (at: number, message = `${at}`): Line => ({ at: '', at_ns: String(1_796_000_000_000_000_000n + BigInt(at)), severity: 'info', message, labels: { host: 'vm' }, position: String(at) });
/** From so many down to `to`. */
const falling = (from: number, to = 1) => Array.from({ length: from - to + 1 }, (_, at) => line(from - at));
const answer = (lines: Line[], more = false): Lines => ({ from: '', to: '', lines, more, complete: true, searched_to_ns: '0', damaged_blocks: 0 });
const messages = ({ list }: ReturnType<typeof pagesOf>) => linesOf(list.value).map(({ message }) => message);

/** Requests that are answered by hand. */
function server() {
  const asked: { params: Params; abort: AbortSignal | undefined; done: (found: Lines) => void; fail: (error: Error) => void }[] = [];
  const ask: Ask = (params, abort) => new Promise((done, fail) => { asked.push({ params, abort, done, fail }); });
  return { asked, ask };
}
function begun(lines: Line[], more = true) {
  const pages = pagesOf();
  pages.begin(answer(lines, more));
  return pages;
}

test('older lines follow', async () => {
  const pages = begun(falling(20, 11));
  const { asked, ask } = server();
  const older = pages.older(ask);
  assert.ok(pages.busy.value);
  await pages.older(ask);
  assert.equal(asked.length, 1, 'one question at a time');
  asked[0]!.done(answer(falling(11)));
  await older;
  assert.deepEqual(messages(pages), falling(20).map(({ message }) => message));
  assert.deepEqual([pages.busy.value, pages.more.value], [false, false]);
});

test('an answer that ends among lines of one moment is asked for in more length', async () => {
  const pages = begun([line(5)]);
  const sizes: unknown[] = [];
  await pages.older(async ({ limit }) => {
    sizes.push(limit);
    return answer(sizes.length < 3 ? [line(5)] : [line(5), line(4)], true);
  });
  assert.deepEqual(sizes, [200, 1_000, 5_000]);
  assert.deepEqual(messages(pages), ['5', '4']);
});

for (const way of ['older', 'onwards'] as const) {
  test(`${way}: what is answered to the question before counts for nothing`, async () => {
    const pages = begun(falling(20, 11));
    const { asked, ask } = server();
    const late = pages[way](ask);
    pages.begin(answer([line(90, 'of the new question')], true));
    assert.ok(!pages.busy.value);
    assert.ok(asked[0]!.abort?.aborted);
    // The new question asks, too, while the answer to the old one comes.
    const own = pages.older(ask);
    asked[0]!.done(answer(falling(10)));
    await late;
    assert.deepEqual(messages(pages), ['of the new question']);
    assert.deepEqual([pages.busy.value, pages.cut.value], [true, false]);
    asked[1]!.done(answer([line(80, 'older')]));
    await own;
    assert.deepEqual(messages(pages), ['of the new question', 'older']);
    assert.ok(!pages.busy.value);
  });

  test(`${way}: an error of the question before is none of the new one`, async () => {
    const pages = begun(falling(20, 11));
    const { asked, ask } = server();
    const late = pages[way](ask);
    pages.begin(answer([line(90)], true));
    asked[0]!.fail(new Error('too long'));
    await late;
    assert.equal(pages.failed.value, null);
    const own = pages[way](ask);
    asked[1]!.fail(new Error('too long'));
    await own;
    assert.equal(pages.failed.value?.message, 'too long');
    assert.ok(!pages.busy.value);
  });
}

test('onwards has older lines in place of those that were there, until the newest are shown again', async () => {
  const pages = begun(falling(MOST + 10, 11));
  await pages.onwards(async () => answer(falling(10), true));
  assert.deepEqual(messages(pages), falling(10).map(({ message }) => message));
  assert.ok(pages.cut.value && !pages.busy.value);
  pages.came([line(MOST + 11)], true);
  assert.equal(messages(pages)[0], '10', 'they wait');
  pages.show();
  assert.equal(messages(pages)[0], String(MOST + 10));
  assert.ok(!pages.cut.value);
});

test('lines that came are there once, at once or when one looks', () => {
  const pages = begun(falling(10));
  pages.came([line(12), line(11), line(10), line(11)], true);
  assert.deepEqual(messages(pages).slice(0, 3), ['12', '11', '10']);
  pages.came([line(14), line(13), line(12)], false);
  pages.came([line(15), line(14)], false);
  assert.deepEqual(pages.waiting.value.map(({ message }) => message), ['15', '14', '13']);
  assert.equal(messages(pages)[0], '12');
  pages.show();
  assert.deepEqual(messages(pages).slice(0, 4), ['15', '14', '13', '12']);
  pages.came(falling(15 + 2 * MOST_WAITING, 16), false);
  assert.equal(pages.waiting.value.length, MOST_WAITING);
  pages.show();
  assert.equal(messages(pages).length, MOST_WAITING);
  assert.ok(pages.more.value);
});

test('the answer of a saved page has what followed the first one', async () => {
  const pages = begun(falling(20, 11));
  assert.equal(pagesOf().whole(), null);
  pages.came([line(22), line(21)], true);
  await pages.older(async () => ({ ...answer(falling(10, 5), true), complete: false, searched_to_ns: '7' }));
  const { lines, more, complete, searched_to_ns } = pages.whole()!;
  assert.deepEqual(lines.map(({ message }) => message), falling(22, 5).map(({ message }) => message));
  assert.deepEqual({ more, complete, searched_to_ns }, { more: true, complete: false, searched_to_ns: '7' });
});
