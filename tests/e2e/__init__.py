"""Promises kept from end to end, on real services and real processes."""
