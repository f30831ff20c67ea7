"""The walk: observe, merge and apply as Faust agents over the pure core, the client and the outbox."""
