"""The relay: one region's events into Kafka, acknowledged at the source only after Kafka has them.

No Faust, no SQL. A message's way: `rabbitmq` or `eventlog` takes it from the region; `sieve` decides what
becomes of it; `relay` makes the record; `kafka` sends it and reports; the source acknowledges. `bridge` puts
the parts together and runs them.
"""
