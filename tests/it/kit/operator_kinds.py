"""Reads objects into the types of the operator of Prometheus, writes them again, and prints what is wrong or was lost on the way."""

from cloudcoil.models import prometheus_operator
from pydantic import ValidationError


def routes(route):
    """The routes below a route: their type is not that of a route, but anything."""
    for child in route.get("routes", []):
        yield child
        yield from routes(child)


def findings(model, given, path):
    try:
        read = model.model_validate(given)
    except ValidationError as error:
        for problem in error.errors():
            yield f"{path}.{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
    else:
        yield from lost(given, json.loads(read.model_dump_json(by_alias=True)), path)


for given in json.load(sys.stdin):
    version, kind = given["apiVersion"].rpartition("/")[2], given["kind"]
    name = f"{kind} {given['metadata']['name']}"
    models = getattr(prometheus_operator, version)
    model = getattr(models, kind, None)
    found = [f"{name}: no such kind"] if model is None else [*findings(model, given, name)]
    for route in routes(given["spec"].get("route", {})):
        found += findings(models.Route, route, f"{name}: {route['receiver']}")
    for finding in found:
        print(finding)
