// All views by the name that stands in the address.
import type { FunctionComponent } from 'preact';
import { later } from './later';
import { Alerts } from './views/alerts';
import { Explore } from './views/explore';
import { FlameGraph } from './views/flame-graph';
import { Hosts } from './views/hosts';
import { Now } from './views/now';
import { Process } from './views/process';
import { Processes } from './views/processes';
import { Waits } from './views/waits';
import { Changes } from './views/changes';

export interface View {
  /** In the navigation; without it the view is reached from others. */
  readonly label?: string;
  readonly view: FunctionComponent;
  /** It does not depend on the time cursor. */
  readonly timeless?: boolean;
}

export const VIEWS: Readonly<Record<string, View>> = {
  now: { label: 'Now', view: Now },
  changes: { label: 'Who changed', view: Changes },
  processes: { label: 'Processes', view: Processes },
  process: { view: Process },
  flamegraph: { label: 'Flame graph', view: FlameGraph },
  waits: { label: 'Waits', view: Waits },
  alerts: { label: 'Alerts', view: Alerts },
  logs: { label: 'Logs', view: later('logs') },
  ends: { label: 'Ends & events', view: later('ends') },
  hosts: { label: 'Hosts', view: Hosts, timeless: true },
  explore: { label: 'Explore', view: Explore },
  server: { label: 'Server', view: later('server'), timeless: true },
  about: { label: 'About', view: later('about') },
};
