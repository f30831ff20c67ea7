"""How long a call takes on a real region, by the measurements of CloudStack 4.22 (2 cores; proportions,
not promises).

Comes in: the command and the size of its answer. Goes out: milliseconds. Used by `server` when
`real_latency` is on.
"""

from __future__ import annotations

from dataclasses import dataclass

OTHER_MS = 25.0
_FIXED_MS = {
    "listUsers": 11.0,
    "updateUser": 20.0,
    "createDomain": 30.0,
    "updateDomain": 30.0,
    "listDomains": 26.0,
    "createUser": 300.0,
    "createAccount": 1500.0,
    "queryAsyncJobResult": 10.0,
}
_ROW_MS = {"listUsers": 1.6, "listDomains": 0.93, "listAccounts": 4.6}
_FULL_ACCOUNT_ROW_MS = 16.0
# 56 ms with 30 accounts, 286 ms with 722: it grows with the number of accounts in the region
_ACCOUNT_BASE_MS, _ACCOUNT_EACH_MS = 46.0, 0.332
_ACCOUNT_COMMANDS = ("listAccounts", "updateAccount", "enableAccount", "disableAccount")


@dataclass(frozen=True, slots=True)
class Load:
    """What the cost depends on: rows in the answer, accounts in the region, whether accounts come with
    limits.
    """

    rows: int
    accounts: int
    full: bool


def real_ms(command: str, load: Load) -> float:
    """The measured cost of a call."""
    cost = _FIXED_MS.get(command, OTHER_MS)
    if command in _ACCOUNT_COMMANDS:
        cost = _ACCOUNT_BASE_MS + _ACCOUNT_EACH_MS * load.accounts
    if command == "updateAccount":
        cost += 45.0
    if load.rows > 1:
        each = _FULL_ACCOUNT_ROW_MS if command == "listAccounts" and load.full else _ROW_MS.get(command, 0.1)
        cost += each * load.rows
    return cost
