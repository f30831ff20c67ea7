"""Stands in for CloudMonkey (`cmk`) as documents use it: `cmk -o json -p PROFILE create domain name=shop`.

In: a folder with a file for each profile (an endpoint, and the keys of who logs in), in CMK_PROFILES. Out:
the answer as JSON, and nothing where it holds nothing. As CloudMonkey does, it asks the region which commands
there are, and takes the one that is verb and noun without regard to case. A test runs it as a program.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from pipeline.cloudstack.signing import expires, query, signed

LIMIT_S: Final = 60


class Profile:
    """A region, and who logs in there."""

    def __init__(self, file: Path) -> None:
        self._endpoint, self._key, self._secret = file.read_text().split("\n")

    @staticmethod
    def write(file: Path, endpoint: str, key: str, secret: str) -> None:
        file.write_text("\n".join([endpoint, key, secret]))

    def call(self, command: str, params: dict[str, str]) -> dict[str, Any]:
        said = {**params, "command": command, "response": "json"}
        form = query(signed(said, self._key, self._secret, expires(int(time.time() * 1000), LIMIT_S)))
        with urllib.request.urlopen(self._endpoint, form.encode(), LIMIT_S) as answer:
            ((_, inner),) = json.load(answer).items()
        return dict(inner)

    def named(self, verb: str, noun: str) -> str:
        listed = self.call("listApis", {})["api"]
        (name,) = [one["name"] for one in listed if one["name"].lower() == verb + noun]
        return str(name)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", required=True, choices=["json"])
    parser.add_argument("-p", required=True)
    parser.add_argument("verb")
    parser.add_argument("noun")
    parser.add_argument("params", nargs="*")
    given = parser.parse_args()
    region = Profile(Path(os.environ["CMK_PROFILES"]) / given.p)
    params = dict(one.split("=", 1) for one in given.params)
    try:
        answer = region.call(region.named(given.verb, given.noun), params)
    except urllib.error.HTTPError as error:
        sys.exit(f"Error: {error.read().decode()}")
    if answer:
        json.dump(answer, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
