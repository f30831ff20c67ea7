"""`size` says what to set, compares it with the settings, and refuses what can't be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import REGION, Call


def test_without_settings_it_says_what_to_set(region_sync: Call) -> None:
    ended = region_sync("size", "--changes", "20", "--regions", "10", "--latency", "50")
    assert ended.code == 0
    told = {line.split()[0]: line.split()[1] for line in ended.out.splitlines()}
    assert (told["lanes"], told["workers"], told["partitions"]) == ("16", "1", "12")
    assert told["API"] == "calls" and told["First"] == "exhausted:"


def test_what_is_too_much_is_said(region_sync: Call) -> None:
    ended = region_sync("size", "--changes", "5000", "--regions", "10")
    assert ended.code == 0
    assert ended.out.count("Too much for ") == 3 and "one MariaDB with 8 cores" in ended.out
    assert "docs/database.md" in ended.out


def test_json_has_the_load_and_all_of_the_answer(region_sync: Call) -> None:
    told = region_sync("size", "--changes", "5000", "--regions", "10", "--json").json()
    assert told["load"] == {
        "changes_per_s": 5000, "regions": 10, "latency_ms": 50, "peak": 2, "days": 30,
    }  # fmt: skip
    assert told["size"]["partitions"] % told["size"]["hubs"] == 0
    assert len(told["exhausted"]) == 3 and told["change"] == []


def test_with_settings_it_says_what_to_change(region_sync: Call, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    regions = [REGION.format("berlin"), REGION.format("tokyo").replace("}", ", lanes: 64}")]
    away = REGION.format("oslo").replace("}", ", active: false}")
    file.write_text(
        f"kafka: 'k:9092'\nretention: {{outbox_days: 90}}\nregions: [{', '.join([*regions, away])}]\n"
    )
    said = ("size", "--changes", "400", "--latency", "250", "-c", str(file))
    told = region_sync(*said, "--json").json()
    assert (told["load"]["regions"], told["load"]["days"]) == (2, 90), "those that are active"
    size = told["size"]
    assert told["change"] == [
        f"Set lanes: {size['lanes']} for berlin, which has 16.",
        f"Grow the topics to {size['partitions']} partitions; they have 12 (docs/scaling.md).",
    ]
    assert all(line in region_sync(*said).out.splitlines() for line in told["change"])
    assert region_sync("size", "--changes", "1", "-c", str(file), "--json").json()["change"] == []
    wider = region_sync("size", "--changes", "1", "-c", str(file), "--regions", "5", "--json")
    assert wider.json()["load"]["regions"] == 5, "as planned"


def test_the_embedded_broker_is_of_one_process(region_sync: Call, config: str) -> None:
    said = ("size", "-c", config, "--json", "--changes")
    assert region_sync(*said, "1").json()["change"] == []
    assert region_sync(*said, "1000").json()["change"][-1].startswith("Set kafka: ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--changes", "0", "--regions", "3"), "changes: 0 is not from"),
        (("--changes", "nan", "--regions", "3"), "changes: nan is not from"),
        (("--changes", "1", "--regions", "1"), "regions: 1 is not from"),
        (("--changes", "1", "--regions", "0"), "regions: 0 is not from"),
        (("--changes", "1", "--regions", "3", "--latency", "-5"), "latency: -5 is not from"),
        (("--changes", "1", "--regions", "3", "--days", "0"), "days: 0 is not from"),
        (("--changes", "many", "--regions", "3"), "Invalid value for '--changes'"),
        (("--regions", "3"), "Missing option"),
        (("--changes", "1", "-c", "nowhere.yaml"), "nowhere.yaml: there is no such file"),
    ],
)
def test_what_can_t_be_is_refused_in_a_sentence(
    region_sync: Call, words: tuple[str, ...], sentence: str
) -> None:
    ended = region_sync("size", *words)
    assert (ended.code, ended.out) == (2, "")
    assert sentence in " ".join(ended.err.replace("│", " ").split())
