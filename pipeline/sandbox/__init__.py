"""Simulated CloudStack regions for the demo and the tests, held to the recordings of a real one. Not for
production.
"""
