// What pages have in common: answers that are waited for, and news.

import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ask, watch } from './api.ts';
import type { News } from './types.ts';

export interface Answer<T> {
  value: T | undefined;
  error: Error | undefined;
  isLoading: boolean;
  again: () => void;
}

/** The answer to a question; the last one is kept while the next is waited for. It is asked again when `beside` is another one. */
export function useAnswer<T>(
  question: string | undefined,
  parameters: Record<string, string | undefined> = {},
  beside?: unknown,
): Answer<T> {
  const [value, setValue] = useState<T>();
  const [error, setError] = useState<Error>();
  const [isLoading, setLoading] = useState(true);
  const [turn, setTurn] = useState(0);
  const key = JSON.stringify([question, parameters]);
  const of = useRef(question);
  useEffect(() => {
    if (question === undefined) return;
    if (of.current !== question) setValue(undefined);
    of.current = question;
    const abort = new AbortController();
    setLoading(true);
    ask<T>(question, parameters, abort.signal)
      .then((found) => {
        setValue(found);
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
  return { value, error, isLoading, again };
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
