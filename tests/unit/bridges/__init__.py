"""The relay's decisions, its bookkeeping and the event log, without a service."""
