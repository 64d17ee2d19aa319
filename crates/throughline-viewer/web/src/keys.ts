// The keyboard: each page says which keys it knows, and the help lists them.

import { useLayoutEffect } from 'preact/hooks';

export interface Key {
  key: string;
  does: string;
  run: () => void;
}

const known: Key[][] = [];

/** The keys that do something now, those of the page first. */
export function keysNow(): Key[] {
  return known.toReversed().flat();
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches('input, select, textarea');
}

/** Makes keys do something while the component is shown. */
export function useKeys(keys: Key[]): void {
  // With what is drawn: a key means what the reader sees.
  useLayoutEffect(() => {
    known.push(keys);
    return () => {
      known.splice(known.indexOf(keys), 1);
    };
  });
}

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  // Enter follows the link that has the focus.
  if (event.key === 'Enter' && event.target instanceof HTMLElement && event.target.matches('a, button, summary')) return;
  // What is open over the page is closed by the browser itself.
  if (document.querySelector('dialog[open]')) return;
  const found = keysNow().find(({ key }) => key.split(' ').includes(event.key));
  if (found) {
    event.preventDefault();
    found.run();
  }
});
