"""One bridge as a process of its own, to be killed: `python -m tests.component.bridges.bridge_process JSON`.

The JSON holds BridgeSettings by name. Standard error carries its log.
"""

from __future__ import annotations

import json
import logging
import sys

from bridges.bridge import BridgeSettings, run_bridge

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    sys.exit(run_bridge(BridgeSettings(**json.loads(sys.argv[1]))))
