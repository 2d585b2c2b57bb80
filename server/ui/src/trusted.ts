// The only addresses of scripts that the page makes: those of its own files. The policy of the page (Trusted Types) lets no other code do so.
declare const WORKER: string;
declare const PROMQL: string;
declare const LATER: string;

interface Policy { createScriptURL(text: string): string }
interface Factory { createPolicy(name: string, rules: Policy): Policy }

let policy: Policy | undefined;
function own(file: string): string {
  const createScriptURL = (text: string) => {
    if (text !== WORKER && text !== PROMQL && text !== LATER) throw new TypeError('no script of this page');
    return new URL(text, document.baseURI).href;
  };
  const factory = (globalThis as { trustedTypes?: Factory }).trustedTypes;
  policy ??= factory ? factory.createPolicy('s7mpa', { createScriptURL }) : { createScriptURL };
  return policy.createScriptURL(file);
}

/** Of the layout of flame graphs. */
export const startWorker = () => new Worker(own(WORKER), { name: 'flame' });
/** Of the parts of Explore that are loaded when they are needed. */
export const promqlAddress = () => own(PROMQL);
/** Of the views that are loaded when they are opened. */
export const laterAddress = () => own(LATER);
