"""Whether everything that the settings name can be reached and would do: the findings of `check` and `join`.

One module a neighbour (`kafka`, `database`, `bus`, `region`), each of them probes that change nothing;
`everything` asks all of them at the same time, within a limit. `joining` asks more of one region before it
joins (`fitness`, `roles`), and makes it prove by `selftest` that what happens there is heard.
"""
