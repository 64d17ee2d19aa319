// Where the reader is: all of it stands in the address, behind the #, which no server and no log sees.

import { useEffect, useState } from 'preact/hooks';

export interface Route {
  page: string;
  id: string;
  parameters: Record<string, string>;
}

/** What may be asked for several times, all of which a run has to have; in the parameters with a line for each. */
const REPEATED = ['tag', 'attr'];

/** The values of a parameter, each by itself. */
export function valuesOf(name: string, value: string | undefined): string[] {
  if (!value) return [];
  return REPEATED.includes(name) ? value.split('\n').filter(Boolean) : [value];
}

/** A parameter that asks for one more value. */
export function withValue(name: string, before: string | undefined, value: string): string {
  return REPEATED.includes(name) ? [...new Set([...valuesOf(name, before), value])].join('\n') : value;
}

/** The part of an address that has these parameters; those without a value are left out. */
export function queryOf(parameters: Record<string, string | undefined>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) for (const one of valuesOf(name, value)) query.append(name, one);
  return query.size > 0 ? `?${query}` : '';
}

export function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [page = '', id = ''] = path.split('/', 2);
  const parameters: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(query)) parameters[name] = withValue(name, parameters[name], value);
  return { page: page || 'runs', id, parameters };
}

/** The address of a page. */
export function to(page: string, parameters: Record<string, string | undefined> = {}): string {
  return `#/${page}${queryOf(parameters)}`;
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
