// What the reader prefers, kept in the browser.

import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Clock } from './format.ts';
import type { About } from './types.ts';

export type Theme = 'auto' | 'light' | 'dark';

export interface Settings {
  clock: Clock;
  theme: Theme;
  about: About;
}

export const SettingsContext = createContext<Settings>({
  clock: 'utc',
  theme: 'auto',
  about: { payloads: true, live: false, logs: false, delivery: false, version: '' },
});

export function useSettings(): Settings {
  return useContext(SettingsContext);
}

export function stored<T extends string>(name: string, values: readonly T[]): T {
  const found = localStorage.getItem(`throughline-${name}`);
  const known = values.find((value) => value === found);
  return known ?? (values[0] as T);
}

export function store(name: string, value: string): void {
  localStorage.setItem(`throughline-${name}`, value);
}
