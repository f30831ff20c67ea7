"""Makes tables as a release has them, run on its code. In: the URL of a database. Out: nothing."""

from __future__ import annotations

import json
import sys

from pipeline.outbox.engine import migrate

if __name__ == "__main__":
    for line in sys.stdin:
        migrate(json.loads(line))
        print("null", flush=True)
