"""What is begun here, `grafana.py` and `operator_kinds.py` go on with."""

import json
import sys


def lost(given, kept, path):
    """What was given and is not kept, or not as it was."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key in kept:
                yield from lost(value, kept[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for index, (value, other) in enumerate(zip(given, kept)):
            yield from lost(value, other, f"{path}[{index}]")
    # In Python, 1 is True.
    elif given != kept or type(given) is not type(kept):
        yield f"{path}: {given!r} became {kept!r}"


