"""Reads dashboards into the types of Grafana's SDK, writes them again, and prints what was lost on the way."""

import json
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def lost(given, kept, path):
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key in kept:
                yield from lost(value, kept[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for index, (value, other) in enumerate(zip(given, kept)):
            yield from lost(value, other, f"{path}[{index}]")
    elif given != kept:
        yield f"{path}: {given!r} became {kept!r}"


register_default_plugins()
for number, dashboard in enumerate(json.load(sys.stdin)):
    written = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
    for finding in lost(dashboard, written, f"{dashboard['title']} ({number})"):
        print(finding)
