// Watches a page: how fast it loads and reacts, what fails in it, and which click led to which request.
//
//   <script src="/browser/script.js" data-consent="required" data-origins="https://api.example.org"></script>
//
// With `data-consent="required"`, nothing leaves the page before `throughline.consent(true)`, no header either.
// `data-origins` lists, with spaces between them, the other origins whose requests continue the trace of a click.

// One by one, for `build.mjs` takes some of what they need from `library.ts`.
import { onCLS } from 'web-vitals/onCLS.js';
import { onFCP } from 'web-vitals/onFCP.js';
import { onINP } from 'web-vitals/onINP.js';
import { onLCP } from 'web-vitals/onLCP.js';
import { onTTFB } from 'web-vitals/onTTFB.js';

/** A click, until the requests that it led to are sent. */
interface Click {
  name: 'click';
  trace: string;
  span: string;
  target: string;
  at: number;
  /** How long it took until the last of its requests was answered, in milliseconds. */
  took?: number;
}

interface Vital {
  name: string;
  value: number;
  at: number;
}

interface Failure {
  name: 'error';
  kind: 'error' | 'rejection' | 'resource';
  type: string;
  message: string;
  stack?: string | undefined;
  page: string;
  /** The click that it followed. */
  trace?: string | undefined;
  span?: string | undefined;
  at: number;
}

declare global {
  interface Window {
    throughline: { consent: (given: boolean) => void };
  }
}

/** As many as are kept before they are sent, and as many failures as a page reports. */
const MOST = 50;
/** What happens within this time of a click is taken for its consequence, in milliseconds. */
const CONSEQUENCE = 5000;
/** How long what happened waits for more of it, in milliseconds. */
const PATIENCE = 5000;

const { src, dataset } = document.currentScript as HTMLScriptElement;
const report = new URL('report', src);
const origins = [location.origin, ...(dataset.origins ?? '').split(' ')];
const now = () => performance.now();
const fetch = window.fetch;

let allowed = dataset.consent !== 'required';
let waiting: (Click | Vital | Failure)[] = [];
let timer = 0;
let failuresLeft = MOST;
let click: Click | undefined;

function put(entry: Click | Vital | Failure): void {
  if (waiting.length < MOST) waiting.push(entry);
  timer ||= setTimeout(send, PATIENCE);
}

function send(): void {
  clearTimeout(timer);
  timer = 0;
  if (!allowed || !waiting.length) return;
  const sent = now();
  const body = JSON.stringify(waiting.map((entry) => ({ ...entry, ago: sent - entry.at })));
  waiting = [];
  // A beacon survives the page; one that is refused, since too many are on their way, is tried as a request that does.
  if (!navigator.sendBeacon(report, body)) fetch(report, { method: 'POST', body, keepalive: true }).catch(() => {});
}

/** A number of so many digits that nobody can guess, in hexadecimal. */
function random(bytes: number): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function cause(): Click | undefined {
  return click && now() - click.at < CONSEQUENCE ? click : undefined;
}

function fail(kind: Failure['kind'], type: string, message: string, stack?: string): void {
  if (failuresLeft-- < 1) return;
  const { trace, span } = cause() ?? {};
  const page = location.pathname;
  put({ name: 'error', kind, type, message: message.slice(0, 500), stack: stack?.slice(0, 4000), page, trace, span, at: now() });
}

function failWith(kind: Failure['kind'], thrown: unknown): void {
  if (thrown instanceof Error) fail(kind, thrown.name, thrown.message, thrown.stack);
  else fail(kind, typeof thrown, String(thrown));
}

/** The headers of a request with the trace of the click before it; nothing if it goes where no trace belongs. */
function traced(input: RequestInfo | URL, init?: RequestInit): [Headers, Click] | undefined {
  const request = input instanceof Request ? input : undefined;
  const { origin } = new URL(request?.url ?? (input as string | URL), location.href);
  const headers = new Headers(init?.headers ?? request?.headers);
  if (!allowed || !origins.includes(origin) || headers.has('traceparent')) return;
  const by = cause() ?? { name: 'click', trace: id(), span: random(8), target: '', at: now() };
  headers.set('traceparent', `00-${by.trace}-${by.span}-01`);
  return [headers, by];
}

/** The id of a trace: the time, so that traces of one time lie beside each other, and a number that nobody can guess. */
function id(): string {
  return Date.now().toString(16).padStart(12, '0') + random(10);
}

addEventListener('click', ({ target }) => {
  if (!(target instanceof Element)) return;
  const { localName, id: named } = target.closest('a,button,input,[role=button]') ?? target;
  click = { name: 'click', trace: id(), span: random(8), target: localName + (named && `#${named}`), at: now() };
}, true);

window.fetch = (input, init) => {
  let by: Click | undefined;
  try {
    const found = traced(input, init);
    if (found) {
      init = { ...init, headers: found[0] };
      by = found[1];
    }
  } catch {
    // What no request can be made of, `fetch` itself complains of.
  }
  const answer = fetch(input, init);
  if (by?.target) {
    const of = by;
    const took = () => { of.took = now() - of.at; };
    if (!waiting.includes(of)) put(of);
    answer.then(took, took);
  }
  return answer;
};

addEventListener('error', (event) => {
  const { target } = event;
  if (event instanceof ErrorEvent) failWith('error', event.error ?? event.message);
  else if (target instanceof Element) {
    const { localName, src, href } = target as Element & { src?: string; href?: string };
    fail('resource', localName, (src ?? href ?? '').replace(/[?#].*/, ''));
  }
}, true);
addEventListener('unhandledrejection', ({ reason }) => failWith('rejection', reason));

for (const measure of [onCLS, onFCP, onINP, onLCP, onTTFB]) measure(({ name, value }) => put({ name, value, at: now() }));
// On the window, after the document: what is measured until the page is hidden is measured by then.
addEventListener('visibilitychange', () => { if (document.visibilityState === 'hidden') send(); });
addEventListener('pagehide', send);

window.throughline = {
  consent: (given) => {
    allowed = given;
    if (given) send();
    else waiting = [];
  },
};
