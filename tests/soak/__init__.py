"""Load for long: changes in three regions, as many as the machine holds, and whether anything grows.

`python -m tests.soak --minutes 30` (make soak) prints what it measured and exits 1 where something grows, lag
has no bound or a region differs at the end; `test_soak` is a minute of it.
"""
