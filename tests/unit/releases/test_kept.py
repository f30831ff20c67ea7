"""What is kept of the release before is what it says it is."""

from __future__ import annotations

import lzma
import tomllib
from pathlib import Path

from pipeline.outbox.schema import metadata
from tests.releases import reader
from tests.releases.keeping import told_by
from tests.releases.kept import FOLDER, asking, digest, manifest, said


def test_the_files_are_those_of_the_manifest() -> None:
    kept = manifest()

    assert digest(kept.code) == kept.code_sha256
    assert digest(kept.said) == kept.said_sha256
    assert {path.name for path in FOLDER.glob("*.xz")} == {kept.code.name, kept.said.name}


def test_the_code_is_of_that_version_and_commit(release_before: Path) -> None:
    kept = manifest()

    assert told_by(lzma.decompress(kept.code.read_bytes())) == (kept.version, kept.commit)
    project = tomllib.loads((release_before / "pyproject.toml").read_text())
    assert project["project"]["version"] == kept.version


def test_what_is_asked_of_it_is_answered_by_its_own_code(release_before: Path, tmp_path: Path) -> None:
    program = tmp_path / "where.py"
    program.write_text(
        "import json, pipeline.wire, sys\nfor _ in sys.stdin: print(json.dumps(pipeline.wire.__file__))"
    )

    with asking(release_before, program) as ask:
        found = ask(None)

    assert Path(found).is_relative_to(release_before)
    assert not Path(reader.wire.__file__).is_relative_to(release_before)


def test_all_tables_of_before_were_recorded() -> None:
    assert said()["rows"].keys() - {"alembic_version"} <= metadata.tables.keys()
