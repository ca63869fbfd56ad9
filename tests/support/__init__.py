"""Helpers shared by tests: a small world of agencies, and brokers to run it on."""
