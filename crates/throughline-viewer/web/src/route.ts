// Where the reader is: all of it stands in the address, behind the #, which no server and no log sees.

import { useEffect, useState } from 'preact/hooks';

export interface Route {
  page: string;
  id: string;
  parameters: Record<string, string>;
}

export function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [page = '', id = ''] = path.split('/', 2);
  return { page: page || 'runs', id, parameters: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a page. */
export function to(page: string, parameters: Record<string, string | undefined> = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value) query.set(name, value);
  return `#/${page}${query.size > 0 ? `?${query}` : ''}`;
}

/** The address of a run, or of a span in it; within a run, in the view and with the child runs that are shown. */
export function toRun(id: string, span?: string): string {
  const now = parse(location.hash);
  const { view, open } = now.page === 'run' && now.id === id ? now.parameters : {};
  return to(`run/${id}`, { view, open, span });
}

/** Moves within a page, without a step back for each letter that is typed. */
export function replace(address: string): void {
  history.replaceState(null, '', address);
  dispatchEvent(new HashChangeEvent('hashchange'));
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parse(location.hash));
  useEffect(() => {
    const moved = () => setRoute(parse(location.hash));
    addEventListener('hashchange', moved);
    return () => removeEventListener('hashchange', moved);
  }, []);
  return route;
}
