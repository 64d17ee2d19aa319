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
  /** The element that was clicked; nothing if a request came from no click. */
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
  stack: string;
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
/** How long what happened waits at most for more of it, in milliseconds. */
const PATIENCE = 5000;

const { src, dataset } = document.currentScript as HTMLScriptElement;
const report = new URL('report', src);
const origins = [location.origin, ...(dataset.origins ?? '').split(' ')];
const now = () => performance.now();
const fetch = window.fetch;

let allowed = dataset.consent !== 'required';
let waiting: (Click | Vital | Failure)[] = [];
let failuresLeft = MOST;
let click: Click | undefined;

function put(entry: Click | Vital | Failure): void {
  // The first one says when all that come after it are sent.
  if (waiting.length < MOST && waiting.push(entry) === 1) setTimeout(send, PATIENCE);
}

function send(): void {
  if (!allowed || !waiting.length) return;
  const body = JSON.stringify(waiting.map((entry) => ({ ...entry, ago: now() - entry.at })));
  waiting = [];
  // A beacon survives the page. Where there are none, or too many are on their way, a request that does is tried.
  if (!navigator.sendBeacon?.(report, body)) fetch(report, { method: 'POST', body, keepalive: true }).catch(() => {});
}

function hex(value: number | bigint, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

/** 16 hexadecimal digits that nobody can guess. */
function random(): string {
  return hex(crypto.getRandomValues(new BigUint64Array(1))[0]!, 16);
}

/** A trace; its id begins with the time, so that traces of one time lie beside each other. */
function begin(target: string): Click {
  const trace = (hex(Date.now(), 12) + random() + random()).slice(0, 32);
  return { name: 'click', trace, span: random(), target, at: now() };
}

function cause(): Click | undefined {
  return click && now() - click.at < CONSEQUENCE ? click : undefined;
}

function text(value: unknown, most: number): string {
  return String(value).slice(0, most);
}

/** Anything can be thrown, and what is unlike an error has no type, no message and no stack. */
function fail(kind: Failure['kind'], thrown: unknown): void {
  if (failuresLeft-- < 1) return;
  const { name = typeof thrown, message = thrown, stack = '' } = Object(thrown) as Partial<Error>;
  const { trace, span } = cause() ?? {};
  put({
    name: 'error',
    kind,
    type: text(name, 100),
    message: text(message, 500),
    stack: text(stack, 4000),
    page: location.pathname,
    trace,
    span,
    at: now(),
  });
}

addEventListener('click', ({ target }) => {
  if (!(target instanceof Element)) return;
  const { localName, id } = target.closest('a,button,input,[role=button]') ?? target;
  click = begin(localName + (id && `#${id}`));
}, true);

window.fetch = (input, init) => {
  let by: Click | undefined;
  try {
    // Only a request has an address and headers of its own.
    const { url = input as string | URL, headers: own } = input as Partial<Request>;
    const headers = new Headers(init?.headers ?? own);
    if (allowed && origins.includes(new URL(url, document.baseURI).origin) && !headers.has('traceparent')) {
      by = cause() ?? begin('');
      headers.set('traceparent', `00-${by.trace}-${by.span}-01`);
      init = { ...init, headers };
      if (by.target && !waiting.includes(by)) put(by);
    }
  } catch {
    // What no request can be made of, `fetch` itself complains of.
  }
  return fetch(input, init).finally(() => {
    if (by) by.took = now() - by.at;
  });
};

// What a script throws has the window as its target, and what was not loaded has its element.
addEventListener('error', ({ error, message, target }) => {
  if (target instanceof Element) {
    const { localName: name, src, href } = target as Element & { src?: string; href?: string };
    fail('resource', { name, message: text(src ?? href, 4000).replace(/[?#].*/, '') });
  } else fail('error', error ?? message);
}, true);
addEventListener('unhandledrejection', ({ reason }) => fail('rejection', reason));

for (const measure of [onCLS, onFCP, onINP, onLCP, onTTFB]) measure(({ name, value }) => put({ name, value, at: now() }));
// On the window, after the document: what is measured until the page is hidden is measured by then.
addEventListener('visibilitychange', send);
addEventListener('pagehide', send);

window.throughline = {
  consent: (given) => {
    allowed = given;
    if (given) send();
    else waiting = [];
  },
};
