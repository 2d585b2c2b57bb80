// The views that are loaded when one of them is opened.
import { Ends } from './ends/view';
import { parts } from './later';
import { Logs } from './logs/view';
import { About } from './views/about';
import { Server } from './views/server';

parts.value = { logs: Logs, ends: Ends, about: About, server: Server };
