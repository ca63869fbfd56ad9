"""Tracing as a process: deadlines, the clock of every request, the states of a trace, and what links traces.

Pure: messages, receipts and the time are arguments. The client fills it from its own store, auditors from their mirror.

Source: International Tracing Instrument 15 to 23; docs/spec/tracing.md.
"""
