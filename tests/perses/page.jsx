// The page on which Perses draws one dashboard.
import * as bars from '@perses-dev/bar-chart-plugin';
import { ChartsProvider, SnackbarProvider, generateChartsTheme, getTheme } from '@perses-dev/components';
import { Dashboard, DashboardProvider, DatasourceStoreProvider, VariableProvider } from '@perses-dev/dashboards';
import { PluginRegistry, TimeRangeProvider, dynamicImportPluginLoader } from '@perses-dev/plugin-system';
import * as prometheus from '@perses-dev/prometheus-plugin';
import * as stat from '@perses-dev/stat-chart-plugin';
import * as table from '@perses-dev/table-plugin';
import * as graph from '@perses-dev/timeseries-chart-plugin';
import { CssBaseline, ThemeProvider } from '@mui/material';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createRoot } from 'react-dom/client';

const plugins = [bars, graph, prometheus, stat, table].map((plugin) => ({
  resource: plugin.getPluginModule(),
  importPlugin: async () => plugin,
}));
const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } });
// The dashboard has its source of data with it, and there is no server with others.
const noOthers = {
  getDatasource: async () => undefined,
  getGlobalDatasource: async () => undefined,
  listDatasources: async () => [],
  listGlobalDatasources: async () => [],
};

window.draw = (dashboard, start, end) => {
  const theme = getTheme('light');
  const charts = generateChartsTheme(theme, { echartsTheme: { animation: false } });
  createRoot(document.body).render(
    <ThemeProvider theme={theme}>
      <CssBaseline />
      <ChartsProvider chartsTheme={charts}>
        <SnackbarProvider>
          <QueryClientProvider client={queries}>
            <PluginRegistry
              pluginLoader={dynamicImportPluginLoader(plugins)}
              defaultPluginKinds={{ Panel: 'TimeSeriesChart', TimeSeriesQuery: 'PrometheusTimeSeriesQuery' }}
            >
              <DatasourceStoreProvider dashboardResource={dashboard} datasourceApi={noOthers}>
                <DashboardProvider initialState={{ dashboardResource: dashboard }}>
                  <TimeRangeProvider timeRange={{ start: new Date(start), end: new Date(end) }} refreshInterval="0s">
                    <VariableProvider>
                      <main style={{ padding: '0 16px' }}>
                        <h2>{dashboard.spec.display.name}</h2>
                        <Dashboard />
                      </main>
                    </VariableProvider>
                  </TimeRangeProvider>
                </DashboardProvider>
              </DatasourceStoreProvider>
            </PluginRegistry>
          </QueryClientProvider>
        </SnackbarProvider>
      </ChartsProvider>
    </ThemeProvider>,
  );
};
