"""Each alert rule, as Prometheus evaluates it (promtool): raised by what it is for, and by nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.services import debian
from tests.services.errors import ServiceUnavailable
from tests.services.fixtures import refuse

ALERTS = Path(__file__).parents[3] / "k8s/monitoring/alerts.yaml"
PACKAGES = ("prometheus",)
MINUTES: Final = 240
Series = dict[str, str]


def steady(value: int) -> str:
    return f"{value}x{MINUTES}"


def growing(each_minute: int) -> str:
    return f"0+{each_minute}x{MINUTES}"


def calls(unreachable: int, ok: int) -> Series:
    name = 'region_sync_api_call_seconds_count{region="r1",outcome="%s"}'
    return {name % "unreachable": growing(unreachable), name % "ok": growing(ok)}


def taking(quick: int, slow: int, what: str = "delivery", limit: str = "60") -> Series:
    bucket = f'region_sync_{what}_seconds_bucket{{region="r1",le="%s"}}'
    return {
        bucket % limit: growing(quick),
        bucket % "300": growing(quick + slow),
        bucket % "+Inf": growing(quick + slow),
    }


def lag(committed: str) -> Series:
    return {
        'region_sync_lag_messages{topic="events.r1"}': steady(5),
        'region_sync_committed_total{topic="events.r1"}': committed,
    }


def scans(done: str) -> Series:
    return {
        'region_sync_scan_done_timestamp_seconds{region="r1"}': done,
        'region_sync_scan_interval_seconds{region="r1"}': steady(600),
    }


def one(series: str, bad: str, good: str) -> tuple[Series, Series]:
    return {series: bad}, {series: good}


CASES: Final[dict[str, tuple[Series, Series]]] = {
    "RegionSyncDeliveryOverdue": one(
        'region_sync_outbox_oldest_seconds{region="r1",state="pending"}', steady(1_000), steady(10)
    ),
    "RegionSyncDeliverySlow": (taking(quick=1, slow=9), taking(quick=99, slow=1)),
    "RegionSyncRevocationSlow": (
        taking(quick=1, slow=9, what="revocation", limit="30"),
        taking(quick=99, slow=1, what="revocation", limit="30"),
    ),
    "RegionSyncExposed": one('region_sync_exposed_seconds{region="r1"}', steady(400), steady(0)),
    "RegionSyncRefused": one('region_sync_outbox_rows{region="r1",state="dead"}', steady(1), steady(0)),
    "RegionSyncNoProgress": one('region_sync_no_progress{region="r1"}', steady(1), steady(0)),
    "RegionSyncViolations": one('region_sync_violations_total{region="r1"}', growing(1), steady(7)),
    "RegionSyncRemovalsHeld": one('region_sync_holds_waiting{region="r1"}', steady(1), steady(0)),
    "RegionSyncEventsLost": one('region_sync_events_lost_total{region="r1"}', growing(1), steady(7)),
    "RegionSyncBusSilent": one('region_sync_bus_silent_seconds{region="r1"}', steady(400), steady(0)),
    "RegionSyncBridgeAway": one('region_sync_bridge_connected{region="r1"}', steady(0), steady(1)),
    "RegionSyncLagWithoutProgress": (lag(committed=steady(7)), lag(committed=growing(1))),
    "RegionSyncLate": one('region_sync_lag_seconds{topic="events.r1"}', steady(700), steady(5)),
    "RegionSyncStalled": one(
        'region_sync_stalled_seconds{part="hub"}', steady(400), "0 60 " * (MINUTES // 2)
    ),
    "RegionSyncLaneStuck": one('region_sync_lane_silent_seconds{region="r1"}', steady(1_000), steady(30)),
    "RegionSyncRetrying": one('region_sync_retrying{part="hub"}', steady(1), "0 1 " * (MINUTES // 2)),
    "RegionSyncScanSuspended": one(
        'region_sync_scan_result{region="r1",result="suspended"}', steady(1), steady(0)
    ),
    "RegionSyncScanOverdue": (scans(done=steady(0)), scans(done=growing(60))),
    "RegionSyncScanNeeded": one('region_sync_scan_needed_seconds{region="r1"}', steady(9), steady(0)),
    "RegionSyncRegionsNotEqual": one("region_sync_verify_differences", steady(1), steady(0)),
    "RegionSyncScanFindsDifferences": one(
        'region_sync_scan_found{region="r1",outcome="missing"}', steady(1), steady(0)
    ),
    "RegionSyncDeadLetters": one('region_sync_dead_letters_total{region="r1"}', growing(1), steady(7)),
    "RegionSyncConsumerStopped": one(
        'region_sync_consumer_stopped{topic="region-sync.observations"}', steady(1), steady(0)
    ),
    "RegionSyncApiFailing": (calls(unreachable=6, ok=1), calls(unreachable=1, ok=6)),
    "RegionSyncBlind": one('region_sync_source_up{source="kafka"}', steady(0), steady(1)),
    "RegionSyncHubAway": ({}, {'region_sync_source_up{source="kafka"}': steady(1)}),
}
"""Alert → numbers that raise it, and numbers that don't."""


@pytest.fixture(scope="session")
def promtool() -> Path:
    try:
        return debian.require("promtool", PACKAGES, ["prometheus"])
    except ServiceUnavailable as error:
        refuse(str(error))


@pytest.fixture
def rule_file(tmp_path: Path) -> Path:
    """The rules as Prometheus takes them, without the operator."""
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(ALERTS.read_text())["spec"]))
    return path


def firing(promtool: Path, rule_file: Path, alert: str, series: Series, raised: int) -> str:
    """What promtool says against the alert being raised so many times at the end; empty: nothing."""
    expected: list[dict[str, Any]] = [{"labels": "{}", "value": raised}] if raised else []
    case = {
        "rule_files": [rule_file.name],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                        "eval_time": f"{MINUTES - 1}m",
                        "exp_samples": expected,
                    }
                ],
            }
        ],
    }
    path = rule_file.with_name("test.yaml")
    path.write_text(yaml.safe_dump(case))
    done = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_prometheus_takes_the_rules(promtool: Path, rule_file: Path) -> None:
    done = subprocess.run(
        [promtool, "check", "rules", rule_file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(CASES)} rules found" in done.stdout


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_is_raised_by_what_it_is_for_and_by_nothing_else(
    promtool: Path, rule_file: Path, alert: str
) -> None:
    bad, good = CASES[alert]
    assert firing(promtool, rule_file, alert, bad, raised=1) == ""
    assert firing(promtool, rule_file, alert, good, raised=0) == ""
    assert "FAILED" in firing(promtool, rule_file, alert, bad, raised=0)
