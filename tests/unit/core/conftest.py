"""Hypothesis without a limit of time per example: the machine may be busy, and no law here is about speed."""

from hypothesis import settings

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")
