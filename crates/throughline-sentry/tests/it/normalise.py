"""Reads events of Sentry, one JSON object a line, and says what Sentry's own normaliser finds invalid in each."""

import json
import sys

from sentry_relay.processing import StoreNormalizer

normalizer = StoreNormalizer(project_id=1, is_renormalize=False)
for line in sys.stdin:
    normalised = normalizer.normalize_event(json.loads(line))
    print(json.dumps({"errors": normalised.get("errors", []), "meta": normalised.get("_meta", {})}))
