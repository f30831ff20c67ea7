"""`sealing-key` makes a pair, and shows its public half alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli.program import call
from pipeline.sealing import public_of


def test_the_private_half_goes_into_a_file_of_its_owner(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "berlin.sealing"
    assert call(["sealing-key", str(file)]) == 0
    private = file.read_text().strip()
    said = capsys.readouterr().out
    assert f"sealing_key: {public_of(private)}" in said and f"[file:{file}]" in said
    assert private not in said and file.stat().st_mode & 0o777 == 0o600

    assert call(["sealing-key", str(file)]) == 1, "an older key is never written over"
    assert file.read_text().strip() == private
    assert "name a new file" in capsys.readouterr().err

    assert call(["sealing-key", "--json", str(tmp_path / "other")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sealing_key"] == public_of((tmp_path / "other").read_text().strip())
