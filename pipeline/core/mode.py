"""What a region's worker may do to its region: the setting `mode`.

Read by the settings, obeyed by the region worker.
"""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """`apply`: calls are made. `plan`: they are worked out and written down, none is made. `paused`: desired
    states wait untouched. What happens in the region is observed in every mode."""

    APPLY = "apply"
    PLAN = "plan"
    PAUSED = "paused"
