"""Reads dashboards into the types of Grafana's SDK, writes them again, and prints what was lost on the way."""

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

register_default_plugins()
for number, dashboard in enumerate(json.load(sys.stdin)):
    written = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
    for finding in lost(dashboard, written, f"{dashboard['title']} ({number})"):
        print(finding)
