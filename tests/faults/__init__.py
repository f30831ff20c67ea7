"""Faults of the world around the pipeline: processes killed and frozen, networks cut and slow, and what must
be true afterwards."""
