'use strict';
// Shows what is in the page: nothing is fetched, and every text is put in as text.
(() => {
  const ROWS = 2000;
  const $ = (id) => document.getElementById(id);
  const stories = JSON.parse($('stories').textContent);
  let events;

  // What is not seen, or turns around how a text reads, is shown for what it is.
  const harmless = (child) =>
    child instanceof Node ? child : String(child).replace(/(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\u2028\u2029]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
  const el = (tag, props = {}, ...children) => {
    const { dataset, ...rest } = props;
    const node = Object.assign(document.createElement(tag), rest);
    Object.assign(node.dataset, dataset);
    node.append(...children.filter((child) => child !== undefined && child !== null && child !== '').map(harmless));
    return node;
  };
  const duration = (us) => {
    if (us === undefined || us === null) return '';
    if (us < 1000) return `${us} µs`;
    if (us < 1e6) return `${+(us / 1e3).toPrecision(3)} ms`;
    if (us < 6e7) return `${+(us / 1e6).toPrecision(3)} s`;
    const minutes = Math.floor(us / 6e7);
    return minutes < 60 ? `${minutes} min ${Math.round((us % 6e7) / 1e6)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  };
  const words = (name) => String(name).replaceAll('_', ' ');
  const errorOf = (span) => (span?.error ? `${span.error.type}: ${span.error.message}` : '');
  const json = (value) => JSON.stringify(value, null, 2);

  // The events of a span, read when they are first asked for.
  const eventsOf = (trace, span) => {
    if (!events) {
      events = new Map();
      for (const line of $('events').textContent.split('\n')) {
        if (!line) continue;
        const event = JSON.parse(line);
        const key = `${event.trace_id}:${event.span_id}`;
        events.get(key)?.push(line) ?? events.set(key, [line]);
      }
    }
    return events.get(`${trace}:${span}`) ?? [];
  };

  const table = (heads, rows) =>
    el('table', {}, el('thead', {}, el('tr', {}, ...heads.map((head) => el('th', { scope: 'col' }, head)))),
      el('tbody', {}, ...rows.map((cells) => el('tr', {}, ...cells.map((cell) => (cell instanceof Node ? el('td', {}, cell) : el('td', {}, cell ?? '')))))));

  const verdict = (story) => {
    const said = story.statements.filter((statement) => statement.text !== story.headline);
    return said.length === 0 ? [] : [el('h3', {}, 'Verdict'), el('ul', {}, ...said.map((statement) => {
      const [span] = statement.spans;
      const link = span && el('a', { href: `#${story.run.trace_id}:${span}` }, 'show');
      return el('li', {}, statement.text, ' ', el('span', { className: 'quiet' }, `(${words(statement.certainty)}) `), link);
    }))];
  };

  const ledger = (story) => {
    const entries = story.sagas.flatMap((saga) => saga.entries);
    return entries.length === 0 ? [] : [el('h3', {}, 'Compensation'), table(['Step', 'State', 'Resource', 'Error'], entries.map((entry) => [
      entry.step.name, el('span', { className: entry.state }, words(entry.state)), entry.resource, errorOf(entry.compensation),
    ]))];
  };

  const decisions = (story) =>
    story.outcomes.length === 0 ? [] : [el('h3', {}, 'Decisions'), table(['Decision', 'Choice', 'Instead of', 'Because'], story.outcomes.map(({ decision, led_to_cause }) => [
      decision.name,
      (decision.choice ?? '') + (led_to_cause ? ' (led to the cause)' : ''),
      decision.alternatives.filter((one) => !one.chosen).map((one) => one.name).join(', '),
      decision.reasoning,
    ]))];

  const waterfall = (story) => {
    const { trace_id: trace } = story.run;
    const cause = story.cause?.span.span_id;
    const end = Math.max(1, ...story.nodes.map(({ span }) => span.offset_us + (span.duration_us ?? 0)));
    const texts = new Map();
    // What a search looks in: the name, and all that was recorded.
    const textOf = (span) => {
      if (!texts.has(span.span_id)) texts.set(span.span_id, `${span.name}\n${eventsOf(trace, span.span_id).join('\n')}`.toLowerCase());
      return texts.get(span.span_id);
    };
    const rowOf = ({ depth, span, choice }) => {
      const bar = el('span', { className: `bar ${span.state}${span.duration_us === undefined && !span.point ? ' open' : ''}` });
      bar.style.left = `${(100 * span.offset_us) / end}%`;
      const open = !span.point && span.duration_us === undefined;
      bar.style.width = `${(100 * (open ? end - span.offset_us : span.duration_us ?? 0)) / end}%`;
      const name = el('span', { className: `name ${span.state}`, title: span.name }, choice ? `${span.name} → ${choice}` : span.name);
      name.style.paddingLeft = `${Math.min(depth, 30)}ch`;
      const row = el('button', { type: 'button', className: `row${span.span_id === cause ? ' cause' : ''}`, id: `${trace}:${span.span_id}`, ariaExpanded: 'false' },
        name, el('span', { className: 'lane' }, bar), el('span', { className: 'took' }, duration(span.duration_us)));
      row.addEventListener('click', () => {
        const shown = row.nextElementSibling?.classList.contains('detail');
        row.ariaExpanded = String(!shown);
        if (shown) return row.nextElementSibling.remove();
        const error = errorOf(span);
        row.after(el('div', { className: 'detail' }, error && el('p', { className: 'error failed' }, `${error}${(span.error.chain ?? []).map((of) => `\ncaused by: ${of}`).join('')}`),
          ...eventsOf(trace, span.span_id).map((line) => el('pre', {}, json(JSON.parse(line))))));
      });
      return row;
    };
    const rows = el('div', {});
    const count = el('span', { className: 'quiet', role: 'status' });
    const search = el('input', { type: 'search', placeholder: 'Search names, errors, inputs, outputs', ariaLabel: 'Search in this run' });
    const only = el('input', { type: 'checkbox' });
    let most = ROWS;
    const show = () => {
      const wanted = search.value.trim().toLowerCase();
      const hits = story.nodes.filter(({ span }) => (!only.checked || span.state !== 'succeeded') && (!wanted || textOf(span).includes(wanted)));
      rows.replaceChildren(...hits.slice(0, most).map(rowOf));
      if (hits.length > most) {
        const more = el('button', { type: 'button', className: 'more' }, `Show ${hits.length - most} more`);
        more.addEventListener('click', () => { most = Infinity; show(); });
        rows.append(more);
      }
      count.textContent = `${hits.length} of ${story.nodes.length} spans`;
    };
    search.addEventListener('input', show);
    only.addEventListener('change', show);
    show();
    return [el('h3', {}, 'What happened'), el('div', { className: 'controls' }, search, el('label', {}, only, ' hide what succeeded'), count), rows];
  };

  const raw = (story) => {
    const details = el('details', {}, el('summary', {}, 'Raw events'));
    details.addEventListener('toggle', () => {
      if (details.open && details.childElementCount === 1) {
        const lines = story.nodes.flatMap(({ span }) => eventsOf(story.run.trace_id, span.span_id));
        details.append(el('pre', {}, lines.join('\n')));
      }
    });
    return details;
  };

  const facts = ({ run }) =>
    el('dl', {}, ...[
      ['Run', run.trace_id], ['Workflow', run.workflow], ['Service', run.service], ['Key', run.correlation_id],
      ['Started', run.started], ['Took', duration(run.duration_us)],
    ].filter(([, value]) => value).map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, el('code', {}, value)))));

  // A link to a span opens it, even where the row was left out.
  const follow = () => {
    const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (row?.classList.contains('row') && row.ariaExpanded === 'false') row.click();
  };

  $('main').replaceChildren(...stories.map((story) =>
    el('section', {}, el('h2', {}, `${story.title}: `, el('span', { className: story.run.state }, story.run.state)),
      el('p', { className: 'headline' }, story.headline), facts(story), ...verdict(story), ...waterfall(story), ...ledger(story), ...decisions(story), raw(story))));
  addEventListener('hashchange', follow);
  follow();
})();
