"""What a process tells about itself: numbers for Prometheus, and whether it is well.

`catalogue` names every metric once. `instruments` counts what the agents report, `shared` reads what all
processes have in common (database, Kafka) when it is asked, `relaying` shows a bridge. `health` says alive
and ready. `routes` answer over HTTP. The only user of prometheus_client.
"""
