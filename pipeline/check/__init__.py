"""Whether everything that the settings name can be reached and would do: the findings of `region-sync check`.

One module a neighbour (`kafka`, `database`, `bus`, `region`), each of them probes that change nothing;
`everything` asks all of them at the same time, within a limit.
"""
