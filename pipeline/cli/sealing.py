"""The command `sealing-key`: makes the pair of keys with which users' API keys are sealed for a region.

In: the file that the private half goes into. Out: that file, readable by its owner alone, and the public half
with where both belong. Nothing shows the private half.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline.cli.options import AsJson
from pipeline.cli.output import print_json

OWNER_ONLY: Final = 0o600


def add_to(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command(
        name="sealing-key", epilog="Example: region-sync sealing-key /etc/region-sync/berlin.sealing"
    )(sealing_key)


def sealing_key(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where the private half goes; it must not exist yet.")
    ],
    as_json: AsJson = False,
) -> None:
    """Make a region's pair of keys for sealing users' API keys; the private half goes into a file.

    The public half is printed, with where both belong.
    """
    from pipeline.core.errors import PermanentError
    from pipeline.sealing import new_pair

    private, public = new_pair()
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except OSError as error:
        raise PermanentError(f"{file} can't be made ({error.strerror}): name a new file") from error
    with os.fdopen(handle, "w") as out:
        out.write(f"{private}\n")
    if as_json:
        print_json({"sealing_key": public, "file": str(file)})
        return
    print(f"In every process's settings, in the region:\n  sealing_key: {public}")
    print("In the settings of that region's worker alone, the newest first, older ones after it:")
    print(f"  sealing_private_keys: [file:{file}]")
