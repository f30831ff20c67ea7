"""openapi.yaml says what the routes are, what they take and what they answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from aiohttp import web
from sqlalchemy import Engine

from pipeline.views.routes import API, PAGES
from tests.unit.views.conftest import Site
from tests.unit.views.world import furnish

Spec = dict[str, Any]
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


@pytest.fixture
async def spec(site: Site) -> Spec:
    """As it is served."""
    answer = await site.client.get("/api/openapi.yaml")
    assert answer.status == 200
    found: Spec = yaml.safe_load(await answer.text())
    return found


def resolve(spec: Spec, one: Any) -> Any:
    while isinstance(one, dict) and "$ref" in one:
        found: Any = spec
        for step in one["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        one = found
    return one


def complaints(spec: Spec, schema: Any, value: Any, where: str) -> Iterator[str]:
    """Where the value is not what the schema says; an object has exactly the properties that are named."""
    schema = resolve(spec, schema)
    if "anyOf" in schema:
        tried = [list(complaints(spec, one, value, where)) for one in schema["anyOf"]]
        yield from min(tried, key=len)
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    kinds = schema.get("type", list(TYPES))
    allowed = tuple(TYPES[kind] for kind in (kinds if isinstance(kinds, list) else [kinds]))
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        yield f"{where}: {value!r} is no {kinds}"
        return
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from complaints(spec, schema["items"], item, f"{where}[{index}]")
    if isinstance(value, dict) and "properties" in schema:
        if value.keys() != schema["properties"].keys():
            yield f"{where}: {sorted(value.keys() ^ schema['properties'].keys())} on one side only"
        for name in value.keys() & schema["properties"].keys():
            yield from complaints(spec, schema["properties"][name], value[name], f"{where}.{name}")


async def test_every_route_is_described_and_no_other(site: Site, spec: Spec) -> None:
    described = {
        (method.upper(), API + path) for path, methods in spec["paths"].items() for method in methods
    }
    app: web.Application = site.client.app  # type: ignore[assignment]
    routes = {
        (route.method, str(route.resource.canonical))
        for route in app.router.routes()
        if route.resource is not None
        and route.method != "HEAD"
        and str(route.resource.canonical).startswith(f"{API}/")
    }
    assert routes == described


async def test_every_filter_is_described_and_no_other(spec: Spec) -> None:
    for page in PAGES:
        path = page.api_path.removeprefix(API).replace(":.+", "")
        told = [resolve(spec, one) for one in spec["paths"][path]["get"].get("parameters", [])]
        assert {one["name"] for one in told if one["in"] == "query"} == set(page.query), path


async def test_every_action_needs_the_token(spec: Spec) -> None:
    for path, methods in spec["paths"].items():
        if "post" in methods:
            assert methods["post"]["security"] == [{"token": []}], path


async def test_every_answer_is_as_described(site: Site, spec: Spec, engine: Engine) -> None:
    furnish(engine)
    for page in PAGES:
        path = page.api_path.removeprefix(API).replace(":.+", "")
        schema = spec["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        for query in ("", "?q=a", "?decided=yes"):
            answer = await site.json(path.replace("{uuid}", "u1").replace("{id}", "1") + query)
            assert list(complaints(spec, schema, answer, path)) == []


async def test_an_action_answers_as_described(site: Site, spec: Spec, engine: Engine) -> None:
    furnish(engine)
    schemas = spec["components"]["schemas"]
    answer = await (await site.call("/outbox/1/retry", who="bot", reason="x")).json()
    assert list(complaints(spec, schemas["Done"], answer, "done")) == []
    answer = await (await site.call("/outbox/1/retry", who="bot", reason="x")).json()
    assert list(complaints(spec, schemas["Error"], answer, "error")) == []


async def test_what_differs_would_be_noticed(spec: Spec) -> None:
    schema = spec["components"]["schemas"]["Done"]
    assert list(complaints(spec, schema, {"done": "retry", "id": "1"}, "x")) == ["x.id: '1' is no integer"]
    assert list(complaints(spec, schema, {"done": "retry"}, "x")) == ["x: ['id'] on one side only"]
