// The server: what it stores and for how long, who may use it, what rules it evaluates, who did what.
import type { FunctionComponent } from 'preact';
import { session } from '../session';
import { params, set } from '../route';
import { Access } from './server-access';
import { Audit } from './server-audit';
import { Rules } from './server-rules';
import { State } from './server-state';
import { SilenceList } from './alerts-acts';

const TABS: Readonly<Record<string, { readonly label: string; readonly view: FunctionComponent }>> = {
  state: { label: 'Store and state', view: State },
  access: { label: 'Who may use it', view: Access },
  rules: { label: 'Rules', view: Rules },
  silences: { label: 'Silences', view: () => <SilenceList always /> },
  audit: { label: 'Audit log', view: Audit },
};
const MAY: Readonly<Record<string, string>> = {
  viewer: 'You may read all that is measured. To acknowledge and silence alerts the role operator is needed; for users, tokens, sessions and the audit log the role admin.',
  operator: 'You may read all that is measured, and acknowledge and silence alerts. For users, tokens, sessions and the audit log the role admin is needed.',
  admin: 'You may do everything here.',
};

export function Server() {
  const tab = params.value.tab && params.value.tab in TABS ? params.value.tab : 'state';
  const Shown = TABS[tab]!.view;
  const role = session.value?.role ?? 'viewer';
  return (
    <div class="stack server">
      <header class="stack">
        <h1>Server</h1>
        <p class="dim">Signed in as {session.value?.name ?? '–'}, role {role}. {MAY[role]}</p>
      </header>
      <div class="row" role="group" aria-label="Parts">
        {Object.entries(TABS).map(([key, { label }]) => <button key={key} aria-pressed={key === tab} onClick={() => set({ tab: key === 'state' ? undefined : key })}>{label}</button>)}
      </div>
      <Shown key={tab} />
    </div>
  );
}
