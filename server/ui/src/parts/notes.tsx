// What is shown where there is nothing to show: yet, at all, or for an error.
import type { ComponentChildren } from 'preact';
import type { Answer } from '../api/load';
import { Refusal, saved } from '../api/http';

export const Loading = ({ what = 'Loading' }: { what?: string }) => <p class="empty" role="status">{what} …</p>;

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

export function Failed({ error, what }: { error: Error; what: string }) {
  const away = !saved && error instanceof Refusal && error.status === 0;
  return (
    <div class={`note ${away ? 'warn' : 'bad'}`} role="alert">
      <strong>{what} cannot be shown.</strong> {error.message}
      {away && ' It is asked for again as soon as the server is back.'}
    </div>
  );
}

/** A titled part of a view that has several answers: what is not known is said in a line. */
export function Part<T>({ title, answer: { data, error }, more, children }: { title: string; answer: Answer<T>; more?: ComponentChildren; children: (data: T) => ComponentChildren }) {
  return (
    <section class="stack">
      <header class="row"><h3 class="grow">{title}</h3>{more}</header>
      {data !== null ? children(data) : error ? <p class="dim">Not known: {error.message}</p> : <p class="dim" role="status">Loading …</p>}
    </section>
  );
}

/** What an answer has: the view of its data, or why there is none. */
export function Shown<T>({ answer, what, children }: { answer: Answer<T>; what: string; children: (data: T) => ComponentChildren }) {
  const { data, error, loading } = answer;
  return (
    <>
      {error && <Failed error={error} what={what} />}
      {data === null ? (loading ? <Loading what={what} /> : !error && <Empty>Nothing is known of this time.</Empty>) : children(data)}
    </>
  );
}
