"""`python -m tests.services start|stop|status|env|run`: the services for people, the Makefile and CI.

Out: words for people on stderr; on stdout only `status`' table and `env`'s lines. Exit 1 when a service
cannot be had.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import NoReturn

from tests.services.stack import VARIABLES, Outcome, Stack, stack


def main(arguments: Sequence[str]) -> int:
    """Run one command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.services", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("start", help="bring up what does not run, and leave it running")
    commands.add_parser("stop", help="end what was started here, and remove its data")
    commands.add_parser("status", help="what runs and where; exit 1 unless everything does")
    commands.add_parser(
        "env", help='the addresses as lines for a shell: eval "$(python -m tests.services env)"'
    )
    run = commands.add_parser(
        "run", help="run a command with the services; stop afterwards what was not running before"
    )
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    options = parser.parse_args(arguments)
    if options.command == "run":
        return _run(stack(), options.argv, os.environ)
    return {"start": _start, "stop": _stop, "status": _status, "env": _env}[options.command](stack())


def _start(services: Stack) -> int:
    outcome = services.start()
    _tell(outcome)
    for variable, address in sorted(outcome.addresses.items()):
        print(f"{variable}={address}", file=sys.stderr)
    return 1 if outcome.missing else 0


def _stop(services: Stack) -> int:
    services.stop()
    print("services stopped", file=sys.stderr)
    return 0


def _status(services: Stack) -> int:
    addresses = services.addresses()
    for variable in VARIABLES:
        state = "given" if variable in services.given else "running" if variable in addresses else "stopped"
        print(f"{services.services[variable].name:<9} {state:<8} {addresses.get(variable, '')}".rstrip())
    return 0 if len(addresses) == len(VARIABLES) else 1


def _env(services: Stack) -> int:
    addresses = services.addresses()
    for variable, address in sorted(addresses.items()):
        print(f"export {variable}={shlex.quote(address)}")
    return 0 if len(addresses) == len(VARIABLES) else 1


def _run(services: Stack, argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """The command's exit code; 1 without running it when a service is missing in CI."""
    signal.signal(signal.SIGTERM, _leave)  # so that the lease ends in any case
    with services.lease() as outcome:
        _tell(outcome)
        if outcome.missing and environ.get("CI") == "true":
            return 1
        with subprocess.Popen(list(argv), env={**environ, **outcome.addresses}) as command:
            return _wait(command)


def _wait(command: subprocess.Popen[bytes]) -> int:
    try:
        return command.wait()
    except KeyboardInterrupt:  # the terminal told the command too: let it end in its own way
        return command.wait()
    except SystemExit:
        command.terminate()
        command.wait()
        raise


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _tell(outcome: Outcome) -> None:
    if outcome.started:
        print(f"started {', '.join(outcome.started)}", file=sys.stderr)
    for reason in outcome.missing.values():
        print(f"cannot be had: {reason}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
