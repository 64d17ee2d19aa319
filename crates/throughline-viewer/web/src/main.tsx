// The frame around the pages.

import { render } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { ask, askAhead, Refused, setToken } from './api.ts';
import type { Clock } from './format.ts';
import { keysNow, useKeys } from './keys.ts';
import { Library } from './library.tsx';
import { Empty } from './parts.tsx';
import { Patterns } from './patterns.tsx';
import { parse, type Route, to, useRoute } from './route.ts';
import { OneRun } from './run.tsx';
import { Running } from './running.tsx';
import { Runs } from './runs.tsx';
import { SettingsContext, store, stored, type Theme } from './settings.ts';
import type { About } from './types.ts';

const CLOCKS: readonly Clock[] = ['utc', 'local', 'relative'];
const THEMES: readonly Theme[] = ['auto', 'light', 'dark'];

const PAGES: [string, string][] = [
  ['runs', 'Runs'],
  ['running', 'Running now'],
  ['patterns', 'Patterns'],
  ['library', 'Library'],
];

function App() {
  const route = useRoute();
  const [about, setAbout] = useState<About>();
  const [error, setError] = useState<Error>();
  const [clock, setClock] = useState<Clock>(() => stored('clock', CLOCKS));
  const [theme, setTheme] = useState<Theme>(() => stored('theme', THEMES));
  const help = useRef<HTMLDialogElement>(null);
  const [, setHelp] = useState(0);

  const begin = () => {
    ask<About>('about').then(
      (found) => {
        setAbout(found);
        setError(undefined);
      },
      (failed: Error) => setError(failed),
    );
  };
  useLayoutEffect(begin, []);
  useEffect(() => {
    document.documentElement.dataset['theme'] = theme;
  }, [theme]);
  useEffect(() => {
    if (route.page !== 'run') {
      document.title = `${PAGES.find(([page]) => page === route.page)?.[1] ?? 'Not found'} · Throughline`;
    }
  }, [route.page]);
  useKeys([
    { key: '?', does: 'list the keys', run: () => {
      setHelp((turn) => turn + 1);
      help.current?.showModal();
    } },
    { key: '1', does: 'runs', run: () => void (location.hash = to('runs')) },
    { key: '2', does: 'running now', run: () => void (location.hash = to('running')) },
    { key: '3', does: 'patterns', run: () => void (location.hash = to('patterns')) },
    { key: '4', does: 'the library itself', run: () => void (location.hash = to('library')) },
  ]);
  const choose = (name: string, value: string) => store(name, value);
  return (
    <>
      <a class="skip" href="#content" onClick={(event) => {
        event.preventDefault();
        document.getElementById('content')?.focus();
      }}>Skip to the content</a>
      <header class="top">
        <span class="brand" aria-hidden="true">Throughline</span>
        <nav aria-label="Main">
          {PAGES.map(([page, name]) => (
            <a href={to(page)} aria-current={route.page === page ? 'page' : page === 'runs' && route.page === 'run' ? 'true' : undefined}>{name}</a>
          ))}
        </nav>
        <span class="settings">
          <label>
            <span class="hidden">Times</span>
            <select value={clock} onChange={(event) => {
              const found = CLOCKS.find((one) => one === event.currentTarget.value) ?? 'utc';
              setClock(found);
              choose('clock', found);
            }}>
              <option value="utc">UTC</option>
              <option value="local">local time</option>
              <option value="relative">relative</option>
            </select>
          </label>
          <label>
            <span class="hidden">Colours</span>
            <select value={theme} onChange={(event) => {
              const found = THEMES.find((one) => one === event.currentTarget.value) ?? 'auto';
              setTheme(found);
              choose('theme', found);
            }}>
              <option value="auto">as the system</option>
              <option value="light">light</option>
              <option value="dark">dark</option>
            </select>
          </label>
          <button onClick={() => {
            setHelp((turn) => turn + 1);
            help.current?.showModal();
          }} aria-label="Keys">?</button>
        </span>
      </header>
      <div id="content" tabIndex={-1}>
        {about ? (
          <SettingsContext.Provider value={{ clock, theme, about }}>
            {!about.payloads && <section class="notice" aria-label="What is not shown">Payloads, attributes and messages of errors are not shown to you.</section>}
            <Page route={route} />
          </SettingsContext.Provider>
        ) : error ? (
          <Closed error={error} begin={begin} />
        ) : (
          <main><h1 class="hidden">Throughline</h1><p class="loading" role="status">Reading…</p></main>
        )}
      </div>
      <dialog ref={help} aria-labelledby="keys">
        <h2 id="keys">Keys</h2>
        <dl>
          {keysNow().map(({ key, does }) => (
            <div><dt>{key.split(' ').map((one) => <kbd>{one}</kbd>)}</dt><dd>{does}</dd></div>
          ))}
        </dl>
        <button onClick={() => help.current?.close()}>Close</button>
      </dialog>
    </>
  );
}

function Page({ route }: { route: Route }) {
  if (route.page === 'run' && route.id) return <OneRun key={route.id} route={route} />;
  switch (route.page) {
    case 'runs':
      return <Runs route={route} />;
    case 'running':
      return <Running route={route} />;
    case 'patterns':
      return <Patterns route={route} />;
    case 'library':
      return <Library />;
    default:
      return (
        <main>
          <h1>There is no such page</h1>
          <Empty title="The address leads nowhere"><a href={to('runs')}>All runs</a> are a good place to begin.</Empty>
        </main>
      );
  }
}

/** What is shown to those who have not said who they are, or may not look. */
function Closed({ error, begin }: { error: Error; begin: () => void }) {
  const [token, write] = useState('');
  if (error instanceof Refused && error.wantsToken) {
    return (
      <main>
        <h1>Who are you?</h1>
        <form class="token" onSubmit={(event) => {
          event.preventDefault();
          setToken(token);
          begin();
        }}>
          <label>Token <input type="password" autocomplete="off" value={token} onInput={(event) => write(event.currentTarget.value)} /></label>
          <button>Open</button>
        </form>
        <p class="quiet">Ask the people who run the service for it. It is kept in this tab only.</p>
      </main>
    );
  }
  return (
    <main>
      <h1>This can't be shown</h1>
      <div class="error" role="alert">{error.message} <button onClick={begin}>Try again</button></div>
    </main>
  );
}

// The list is what most begin with. Times that are named from now are not known before it is drawn.
const { page, parameters } = parse(location.hash);
if (page === 'runs' && !parameters['since']) askAhead('runs', parameters);
const app = document.getElementById('app');
if (app) render(<App />, app);
