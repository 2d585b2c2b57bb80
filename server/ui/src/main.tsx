import { render } from 'preact';
import './shared';
import { App } from './app';
import { startSession } from './session';
import { startTheme } from './theme';

startTheme();
void startSession();
render(<App />, document.body);
