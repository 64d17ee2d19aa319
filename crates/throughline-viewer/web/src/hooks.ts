// What pages have in common: answers that are waited for, and news.

import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { ask, watch } from './api.ts';
import type { News } from './types.ts';

export interface Answer<T> {
  value: T | undefined;
  error: Error | undefined;
  isLoading: boolean;
  /** When the value came, by the clock of this machine. */
  at: number;
  again: () => void;
}

/** How often what goes on is drawn anew. */
const SECOND = 1_000;
const told = new Set<(now: number) => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** The time: each second anew while something goes on, at the same moment everywhere on the page. */
export function useNow(goesOn: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!goesOn) return;
    setNow(Date.now());
    told.add(setNow);
    timer ??= setInterval(() => told.forEach((tell) => tell(Date.now())), SECOND);
    return () => {
      told.delete(setNow);
      if (told.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    };
  }, [goesOn]);
  return now;
}

/** Whether the page is as a media query says. */
export function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const changed = () => setMatches(media.matches);
    changed();
    media.addEventListener('change', changed);
    return () => media.removeEventListener('change', changed);
  }, [query]);
  return matches;
}

/** The answer to a question; the last one is kept while the next is waited for. It is asked again when `beside` is another one. */
export function useAnswer<T>(
  question: string | undefined,
  parameters: Record<string, string | undefined> = {},
  beside?: unknown,
): Answer<T> {
  const [value, setValue] = useState<T>();
  const [at, setAt] = useState(() => Date.now());
  const [error, setError] = useState<Error>();
  const [isLoading, setLoading] = useState(true);
  const [turn, setTurn] = useState(0);
  const key = JSON.stringify([question, parameters]);
  const of = useRef(question);
  // Before anything is painted, which takes a slow machine longer than the way to the server and back.
  useLayoutEffect(() => {
    if (question === undefined) return;
    if (of.current !== question) setValue(undefined);
    of.current = question;
    const abort = new AbortController();
    setLoading(true);
    ask<T>(question, parameters, abort.signal)
      .then((found) => {
        if (abort.signal.aborted) return;
        setValue(found);
        setAt(Date.now());
        setError(undefined);
        setLoading(false);
      })
      .catch((failed: unknown) => {
        if (abort.signal.aborted) return;
        setError(failed instanceof Error ? failed : new Error(String(failed)));
        setLoading(false);
      });
    return () => abort.abort();
  }, [key, turn, beside]);
  const again = useCallback(() => setTurn((turn) => turn + 1), []);
  return { value, error, isLoading, at, again };
}

/** Calls back with what is new, if the server tells. */
export function useNews(isLive: boolean, run: string | undefined, told: (news: News) => void): void {
  const latest = useRef(told);
  latest.current = told;
  useEffect(() => {
    if (!isLive) return;
    const abort = new AbortController();
    void watch(run, (news) => latest.current(news), abort.signal);
    return () => abort.abort();
  }, [isLive, run]);
}

/** Does something a while after the first of many calls: as often as that, however many there are. */
export function useThrottled(work: () => void, pause: () => number): () => void {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const latest = useRef(work);
  latest.current = work;
  useEffect(() => () => clearTimeout(timer.current), []);
  return () => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      latest.current();
    }, pause());
  };
}
