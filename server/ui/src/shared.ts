// Modules that the parts of the page which are loaded later have in common with it. `bundle.mjs` reads the list.
import * as signals from '@preact/signals';
import * as hooks from 'preact/hooks';
import * as jsx from 'preact/jsx-runtime';
import * as http from './api/http';
import * as live from './api/live';
import * as load from './api/load';
import * as series from './api/series';
import * as group from './ends/group';
import * as findings from './findings';
import * as format from './format';
import * as later from './later';
import * as term from './logs/term';
import * as act from './parts/act';
import * as axis from './parts/axis';
import * as canvas from './parts/canvas';
import * as chart from './parts/chart';
import * as copy from './parts/copy';
import * as menu from './parts/menu';
import * as meter from './parts/meter';
import * as notes from './parts/notes';
import * as queryField from './parts/query-field';
import * as room from './parts/room';
import * as table from './parts/table';
import * as route from './route';
import * as session from './session';
import * as states from './states';
import * as theme from './theme';
import * as time from './time';
import * as acts from './views/alerts-acts';
import * as alerts from './views/alerts-list';

const all = {
  '@preact/signals': signals, 'preact/hooks': hooks, 'preact/jsx-runtime': jsx, 'api/http': http, 'api/live': live, 'api/load': load, 'api/series': series,
  'ends/group': group, findings, format, later, 'logs/term': term, 'parts/act': act, 'parts/axis': axis, 'parts/canvas': canvas, 'parts/chart': chart, 'parts/copy': copy, 'parts/menu': menu, 'parts/meter': meter, 'parts/notes': notes, 'parts/query-field': queryField,
  'parts/room': room, 'parts/table': table, route, session, states, theme, time, 'views/alerts-acts': acts, 'views/alerts-list': alerts,
};
(globalThis as { S7MPA_SHARED?: typeof all }).S7MPA_SHARED = all;
