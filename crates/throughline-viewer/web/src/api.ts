// Asks the server. A token, where one is demanded, is kept for the tab alone.

import { queryOf } from './route.ts';
import type { News } from './types.ts';

const TOKEN = 'throughline-token';

export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** Whether the server wants a token that the page has to ask for. */
    readonly wantsToken: boolean,
  ) {
    super(message);
  }
}

export function setToken(token: string): void {
  sessionStorage.setItem(TOKEN, token);
}

function headers(): Record<string, string> {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { authorization: `Bearer ${token}` } : {};
}

async function refused(response: Response): Promise<Refused> {
  const body: unknown = await response.json().catch(() => null);
  const said =
    body !== null && typeof body === 'object' && 'error' in body ? String(body.error) : response.statusText;
  const challenge = response.headers.get('www-authenticate') ?? '';
  return new Refused(response.status, said, response.status === 401 && challenge.startsWith('Bearer'));
}

/** Answers that were asked for before anybody wanted them. */
const ahead = new Map<string, Promise<unknown>>();

/** Asks what the page will ask once it is drawn, so that it need not wait then. What goes wrong is found out when it asks itself. */
export function askAhead(question: string, parameters: Record<string, string | undefined>): void {
  const address = addressOf(question, parameters);
  const answer = ask(question, parameters);
  ahead.set(address, answer);
  answer.catch(() => ahead.delete(address));
}

function addressOf(question: string, parameters: Record<string, string | undefined>): string {
  return `api/${question}${queryOf(parameters)}`;
}

/** The answer to a question; parameters without a value are left out. */
export async function ask<T>(
  question: string,
  parameters: Record<string, string | undefined> = {},
  signal?: AbortSignal,
): Promise<T> {
  const address = addressOf(question, parameters);
  const known = ahead.get(address);
  ahead.delete(address);
  if (known) return known as Promise<T>;
  const response = await fetch(address, { headers: headers(), ...(signal ? { signal } : {}) });
  if (!response.ok) throw await refused(response);
  return (await response.json()) as T;
}

/** An answer as a file. */
export async function fetchFile(question: string): Promise<Blob> {
  const response = await fetch(`api/${question}`, { headers: headers() });
  if (!response.ok) throw await refused(response);
  return response.blob();
}

/** Calls back with what is new until the signal ends it. `EventSource` can't send a token. */
export async function watch(
  run: string | undefined,
  told: (news: News) => void,
  signal: AbortSignal,
): Promise<void> {
  let last = '';
  let pause = 1_000;
  while (!signal.aborted) {
    try {
      const address = `api/live${run ? `?run=${run}` : ''}`;
      const also: Record<string, string> = last ? { 'last-event-id': last } : {};
      const response = await fetch(address, { headers: { ...headers(), ...also }, signal });
      if (response.status === 400) last = '';
      if (!response.ok || !response.body) throw await refused(response);
      // What happened since the page was read, or since the connection before, was told to nobody.
      if (!last) told({ runs: {}, missed: true });
      pause = 1_000;
      let rest = '';
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const messages = (rest + part.value).split('\n\n');
        rest = messages.pop() ?? '';
        for (const message of messages) {
          const fields = message.split('\n');
          const of = (name: string) => fields.find((field) => field.startsWith(`${name}: `))?.slice(name.length + 2);
          last = of('id') ?? last;
          const data = of('data');
          if (data) told(JSON.parse(data) as News);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && error.status === 404) return;
      pause = Math.min(pause * 2, 30_000);
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
