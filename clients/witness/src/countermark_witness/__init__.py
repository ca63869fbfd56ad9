"""A witness of transparency logs: it cosigns a checkpoint only if that continues the one before.

`judge` decides, `store` remembers, `service` joins both, `app` speaks HTTP, `cli` is the command.

Source: C2SP tlog-witness; docs/spec/witness.md §5.
"""
