// A dashboard of Grafana as one of Perses: as much of it as the kit writes.

const FORMATS = {
  bytes: { unit: 'bytes' },
  cpm: { unit: 'decimal' },
  cps: { unit: 'counts/sec' },
  percentunit: { unit: 'percent-decimal' },
  s: { unit: 'seconds' },
  short: { unit: 'decimal', shortValues: true },
};

const PLUGINS = {
  bargauge: (format) => ({ kind: 'BarChart', spec: { calculation: 'last-number', format, mode: 'value' } }),
  stat: (format) => ({ kind: 'StatChart', spec: { calculation: 'last-number', format, sparkline: {} } }),
  table: () => ({ kind: 'Table', spec: {} }),
  timeseries: (format) => ({
    kind: 'TimeSeriesChart',
    spec: { legend: { position: 'bottom', mode: 'list' }, yAxis: { format } },
  }),
};

function known(table, key) {
  if (!(key in table)) {
    throw new Error(`Perses is not told how to draw ${key}`);
  }
  return table[key];
}

function query({ expr, legendFormat }) {
  // Everything is chosen.
  const chosen = expr.replaceAll(/\$(instance|tenant|workflow)\b/g, '.*');
  const spec = { query: chosen, seriesNameFormat: legendFormat };
  return { kind: 'TimeSeriesQuery', spec: { plugin: { kind: 'PrometheusTimeSeriesQuery', spec } } };
}

/** With a Prometheus that is asked at this address, and has scraped so often. */
export function translated(dashboard, directUrl, scrapeInterval) {
  const panels = {};
  const items = [];
  for (const { id, type, title, description, fieldConfig, targets, gridPos } of dashboard.panels) {
    const plugin = known(PLUGINS, type)(known(FORMATS, fieldConfig.defaults.unit));
    const spec = { display: { name: title, description }, plugin, queries: targets.map(query) };
    panels[`panel-${id}`] = { kind: 'Panel', spec };
    const { x, y, w: width, h: height } = gridPos;
    items.push({ x, y, width, height, content: { $ref: `#/spec/panels/panel-${id}` } });
  }
  const prometheus = { kind: 'PrometheusDatasource', spec: { directUrl, scrapeInterval } };
  return {
    kind: 'Dashboard',
    metadata: { name: dashboard.uid, project: 'throughline' },
    spec: {
      display: { name: dashboard.title },
      duration: '6h',
      variables: [],
      datasources: { prometheus: { default: true, plugin: prometheus } },
      panels,
      layouts: [{ kind: 'Grid', spec: { items } }],
    },
  };
}
