"""Reads OpenMetrics from standard input, strictly, and prints its exemplars, a JSON object a line."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        if sample.exemplar:
            print(json.dumps({
                "family": family.name,
                "labels": sample.exemplar.labels,
                "value": sample.exemplar.value,
                "le": min(float(sample.labels["le"]), sys.float_info.max),
            }))
