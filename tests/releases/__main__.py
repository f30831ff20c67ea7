"""`python -m tests.releases [COMMIT]`: keeps that commit, HEAD unless it is said, as the release before the
next one. Called by `make keep-release`, which provides the services.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.releases.keeping import keep_code, write_manifest, write_said
from tests.releases.kept import unpack_from
from tests.releases.recording import Services, record
from tests.services.fixtures import empty_database
from tests.services.stack import AMQP, DATABASE, KAFKA


def main() -> None:
    kept = keep_code(sys.argv[1] if len(sys.argv) > 1 else "HEAD")
    with tempfile.TemporaryDirectory() as folder, empty_database(os.environ[DATABASE], "release") as database:
        code, runs = unpack_from(kept.code, Path(folder, "code")), Path(folder, "runs")
        runs.mkdir()
        services = Services(os.environ[AMQP], os.environ[KAFKA], database)
        write_said(kept, asyncio.run(record(code, services, runs)))
    write_manifest(kept)
    print(f"kept: {kept.version}, commit {kept.commit}")


if __name__ == "__main__":
    main()
