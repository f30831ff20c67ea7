"""Alert rules, dashboard and reference against the metrics in the code: what is named exists, and has the
labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from pipeline.core.compare import Outcome
from pipeline.metrics import catalogue
from pipeline.metrics.catalogue import ALL
from pipeline.metrics.metric import Metric
from pipeline.metrics.shared import RESULTS
from pipeline.outbox.measures import WAITING

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "k8s/monitoring/alerts.yaml"
DASHBOARD = ROOT / "k8s/monitoring/dashboard.json"
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
EXPOSED: dict[str, set[str]] = {
    metric.name + suffix: {*metric.labels, *(["le"] if suffix == "_bucket" else [])}
    for metric in ALL
    for suffix in SUFFIXES[metric.kind]
}
VALUES: dict[tuple[str, str], set[str]] = {
    ("region_sync_outbox_rows", "state"): set(WAITING),
    ("region_sync_outbox_oldest_seconds", "state"): set(WAITING),
    ("region_sync_scan_result", "result"): set(RESULTS),
    ("region_sync_scan_found", "outcome"): {one.replace(" ", "_") for one in Outcome},
    ("region_sync_api_call_seconds_count", "outcome"): {
        "ok",
        "refused",
        "failed_job",
        "unauthorised",
        "throttled",
        "unreachable",
    },
}
"""Of labels that rules choose by: what the values can be."""
FEARED: dict[str, Metric] = {
    "a disable that never arrived": catalogue.OUTBOX_OLDEST,
    "a removal that waits for a person": catalogue.HOLDS,
    "events that a bus lost": catalogue.LOST,
    "a bus that says nothing": catalogue.BUS_SILENT,
    "calls that change nothing": catalogue.NO_PROGRESS,
    "work that nobody takes": catalogue.COMMITTED,
    "a worker that finishes nothing": catalogue.STALLED,
    "a lane that is stuck": catalogue.LANE_SILENT,
    "a stream that can't be read": catalogue.STOPPED,
    "a list that was not believed": catalogue.SCAN_RESULT,
    "scans that do not come": catalogue.SCAN_DONE,
    "regions that are not equal": catalogue.DIFFERENCES,
}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text())["panels"])


def expressions() -> Iterator[Any]:
    for rule in rules():
        yield pytest.param(
            rule["expr"], re.findall(r"\$labels\.(\w+)", str(rule["annotations"])), id=rule["alert"]
        )
    for panel in panels():
        for target in panel["targets"]:
            expr = target["expr"].replace("$region", ".*")
            legend = re.findall(r"{{(\w+)}}", target["legendFormat"])
            yield pytest.param(expr, legend, id=f"{panel['title']} {target['refId']}")


def selectors(node: Any) -> Iterator[Any]:
    """All selectors of metrics below a node."""
    if isinstance(node, promql.VectorSelector):
        yield node
    for name in ("vector_selector", "expr", "lhs", "rhs", "param"):
        below = getattr(node, name, None)
        if below is not None and not isinstance(below, str):
            yield from selectors(below)
    for argument in getattr(node, "args", ()):
        yield from selectors(argument)


def groupings(node: Any) -> Iterator[tuple[list[str], Any]]:
    """(labels, what they are of) of all aggregations and joins."""
    if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
        yield list(node.modifier.labels), node.expr
    for name in ("expr", "lhs", "rhs"):
        below = getattr(node, name, None)
        if below is not None:
            yield from groupings(below)
    for argument in getattr(node, "args", ()):
        yield from groupings(argument)


def outer(node: Any) -> set[str]:
    """The labels that an expression's result has."""
    if isinstance(node, promql.VectorSelector):
        return EXPOSED[node.name]
    if isinstance(node, promql.MatrixSelector):
        return outer(node.vector_selector)
    if isinstance(node, promql.AggregateExpr):
        return set(node.modifier.labels) if node.modifier is not None else set()
    if isinstance(node, promql.BinaryExpr):
        return outer(node.lhs) | outer(node.rhs)
    if isinstance(node, promql.Call):
        return {label for one in node.args for label in outer(one)} - (
            {"le"} if node.func.name == "histogram_quantile" else set()
        )
    return outer(node.expr) if hasattr(node, "expr") else set()


def defects(expr: str, labels: list[str]) -> list[str]:
    """What is wrong with an expression and the labels that words about it use."""
    parsed = promql.parse(expr)
    found = []
    for one in selectors(parsed):
        if one.name not in EXPOSED:
            return [f"no metric {one.name}"]
        for matcher in one.matchers.matchers:
            if matcher.name not in EXPOSED[one.name]:
                found.append(f"{one.name} has no label {matcher.name}")
            allowed = VALUES.get((one.name, matcher.name))
            if allowed is not None and matcher.value != ".*":
                found += [f"{matcher.name} is never {v}" for v in set(matcher.value.split("|")) - allowed]
    for grouped, below in groupings(parsed):
        found += [f"no label {name} to group by" for name in grouped if name not in outer(below)]
    return found + [f"no label {name} to tell" for name in labels if name not in outer(parsed)]


@pytest.mark.parametrize(("expr", "labels"), list(expressions()))
def test_every_rule_and_panel_names_what_exists(expr: str, labels: list[str]) -> None:
    assert defects(expr, labels) == []


@pytest.mark.parametrize(
    ("expr", "labels", "why"),
    [
        ("max(region_sync_outbox_rowz)", [], "no metric region_sync_outbox_rowz"),
        ("max(region_sync_delivery_seconds)", [], "no metric region_sync_delivery_seconds"),
        ('region_sync_outbox_rows{satte="dead"}', [], "region_sync_outbox_rows has no label satte"),
        ('region_sync_outbox_rows{state="daed"}', [], "state is never daed"),
        ("max by (topic) (region_sync_outbox_rows)", [], "no label topic to group by"),
        ("max by (region) (region_sync_outbox_rows)", ["state"], "no label state to tell"),
    ],
)
def test_what_is_wrong_is_found(expr: str, labels: list[str], why: str) -> None:
    assert defects(expr, labels) == [why]


@pytest.mark.parametrize("fear", FEARED)
def test_what_an_operator_fears_has_an_alarm(fear: str) -> None:
    alarms = [one.name for rule in rules() for one in selectors(promql.parse(rule["expr"]))]
    assert FEARED[fear].name in alarms


def test_alerts_have_all_that_a_person_needs() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert {"summary", "description"} <= set(rule["annotations"])


def test_panels_lie_beside_each_other_and_show_every_metric() -> None:
    cells = [
        (x, y)
        for panel in panels()
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    parsed = [promql.parse(t["expr"].replace("$region", ".*")) for p in panels() for t in p["targets"]]
    shown = {one.name for tree in parsed for one in selectors(tree)}
    hidden = {one.name for one in ALL if not shown & {one.name + s for s in SUFFIXES[one.kind]}}
    assert hidden == {catalogue.SCAN_INTERVAL.name}, "what only an alert needs"


def test_the_reference_tells_every_metric_as_the_code_does() -> None:
    text = (ROOT / "docs/reference.md").read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    told = {
        match[1]: (match[2], match[3], match[4])
        for match in re.finditer(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    }
    code = {one.name: (one.kind, ", ".join(f"`{name}`" for name in one.labels), one.help) for one in ALL}
    assert told == code


@pytest.mark.parametrize("metric", ALL, ids=lambda one: one.name)
def test_names_follow_the_conventions(metric: Metric) -> None:
    assert re.fullmatch(r"region_sync_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert set(metric.labels) <= {
        "region",
        "part",
        "source",
        "outcome",
        "command",
        "decision",
        "batch",
        "state",
        "result",
        "topic",
        "table",
    }, "labels with few values: never an entity"
