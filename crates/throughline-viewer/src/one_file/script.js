'use strict';
// Shows what is in the page: nothing is fetched, and every text is put in as text.
(() => {
  const ROWS = 2000;
  const DIFFERENCES = 200;
  const $ = (id) => document.getElementById(id);
  const stories = JSON.parse($('stories').textContent);
  let events;
  // For each run what shows the row of a span.
  const reach = new Map();

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
    // Rounded first: what rounds to 60 s is a minute.
    const [ms, s] = [+(us / 1e3).toPrecision(3), +(us / 1e6).toPrecision(3)];
    if (ms < 1000) return `${ms} ms`;
    if (s < 60) return `${s} s`;
    const seconds = Math.round(us / 1e6);
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    const minutes = Math.round(us / 6e7);
    return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
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

  // Names, values and messages of an event, without those of the record itself.
  const saidIn = ({ event_type, service, workflow, correlation_id, tags, attrs, error, data, ...rest }) => {
    const { v, trace_id, span_id, seq, parent_span_id, parent_trace_id, timestamp, instance, n, status, duration_us, attempt, step_index, step_total, links, ...extra } = rest;
    const said = [];
    const left = [event_type, service, workflow, correlation_id, tags, attrs, error && [error.type, error.message, error.chain], data, extra];
    while (left.length > 0) {
      const value = left.pop();
      if (Array.isArray(value)) for (const item of value) left.push(item);
      else if (value && typeof value === 'object') for (const [key, item] of Object.entries(value)) { said.push(key); left.push(item); }
      else if (value !== undefined && value !== null) said.push(String(value));
    }
    return said;
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

  // What went another way than in the last good run, what came first before all else.
  const difference = ({ run, difference: found }) => {
    if (!found) return [];
    const { diff } = found;
    const first = diff.first_divergence?.path;
    const ended = (span, below = 0) => [words(span.state), duration(span.duration_us), span.error?.type, below && `with ${below} inside`].filter(Boolean).join(', ');
    const value = (of) => (of === undefined ? '–' : typeof of === 'string' ? of : JSON.stringify(of));
    const lines = [
      ...diff.changed.map(({ path, here, there }) => [path, ended(here), ended(there), here.span_id]),
      ...diff.only_here.map(({ path, span, below }) => [path, ended(span, below), '–', span.span_id]),
      ...diff.only_there.map(({ path, span, below }) => [path, '–', ended(span, below)]),
      ...diff.choices.map(({ path, here, there }) => [path, here.choice, there.choice, here.span_id]),
      ...diff.inputs.map(({ span, pointer, here, there }) => [`input of ${span} ${pointer}`, value(here), value(there)]),
      ...diff.attrs.map(({ path, key, here, there }) => [`${key} of ${path}`, value(here), value(there)]),
      ...diff.slower.map(({ path, here_us, there_us }) => [`time of ${path}`, duration(here_us), duration(there_us)]),
    ].sort((a, b) => (b[0] === first) - (a[0] === first));
    const rows = lines.slice(0, DIFFERENCES).map(([what, here, there, span], at) => [
      el('span', {}, span ? el('a', { href: `#${run.trace_id}:${span}` }, what) : what, at === 0 && what === first ? el('b', {}, ' first') : null), here, there,
    ]);
    const more = lines.length > DIFFERENCES ? [el('p', { className: 'quiet' }, `and ${lines.length - DIFFERENCES} more`)] : [];
    return [el('h3', {}, `Difference from ${found.chosen ? found.title : 'the last good run'}`),
      lines.length === 0 ? el('p', {}, `It went the same way as ${found.title}.`) : table(['What', 'Here', `${found.title}, ${found.started}`], rows), ...more];
  };

  const waterfall = (story) => {
    const { trace_id: trace } = story.run;
    const cause = story.cause?.span.span_id;
    const end = story.nodes.reduce((most, { span }) => Math.max(most, span.offset_us + (span.duration_us ?? 0)), 1);
    const texts = new Map();
    // What a search looks in: the name, and all that was recorded, as people read it.
    const textOf = (span) => {
      if (!texts.has(span.span_id)) {
        const said = eventsOf(trace, span.span_id).flatMap((line) => saidIn(JSON.parse(line)));
        texts.set(span.span_id, [span.name, ...said].join('\n').toLowerCase());
      }
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
    let first = 0;
    const hits = () => {
      const wanted = search.value.trim().toLowerCase();
      return story.nodes.filter(({ span }) => (!only.checked || span.state !== 'succeeded') && (!wanted || textOf(span).includes(wanted)));
    };
    const show = () => {
      const found = hits();
      const [from, to] = [first, Math.min(found.length, first + ROWS)];
      const page = (label, at) => {
        const more = el('button', { type: 'button', className: 'more' }, label);
        more.addEventListener('click', () => { first = at; show(); });
        return more;
      };
      rows.replaceChildren(...(from > 0 ? [page(`Show ${Math.min(ROWS, from)} of ${from} before`, Math.max(0, from - ROWS))] : []),
        ...found.slice(from, to).map(rowOf), ...(to < found.length ? [page(`Show ${Math.min(ROWS, found.length - to)} of ${found.length - to} more`, to)] : []));
      count.textContent = `${found.length} of ${story.nodes.length} spans`;
    };
    const anew = () => { first = 0; show(); };
    // Shows the row of a span, wherever it is and whatever hides it.
    reach.set(trace, (id) => {
      const at = story.nodes.findIndex(({ span }) => span.span_id === id);
      if (at < 0) return;
      search.value = '';
      only.checked = false;
      first = Math.floor(at / ROWS) * ROWS;
      show();
    });
    search.addEventListener('input', anew);
    only.addEventListener('change', anew);
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
    const [trace, span] = location.hash.slice(1).split(':', 2);
    const id = `${trace}:${span}`;
    if (span && !document.getElementById(id)) reach.get(trace)?.(span);
    const row = document.getElementById(id);
    row?.scrollIntoView({ block: 'center' });
    if (row?.classList.contains('row') && row.ariaExpanded === 'false') row.click();
  };

  $('main').replaceChildren(...stories.map((story) =>
    el('section', {}, el('h2', {}, `${story.title}: `, el('span', { className: story.run.state }, story.run.state)),
      el('p', { className: 'headline' }, story.headline), facts(story), ...verdict(story), ...waterfall(story), ...ledger(story), ...decisions(story), ...difference(story), raw(story))));
  addEventListener('hashchange', follow);
  follow();
})();
