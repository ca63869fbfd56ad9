"""Fixtures that tests share; each concern's own file in tests/support holds them."""

pytest_plugins = [
    "support.collected",
    "support.examples",
    "support.memory",
    "support.derivation",
    "support.tls",
    "support.broker_fixtures",
    "support.templates",
    "support.softhsm",
    "support.object_store",
    "support.content",
    "support.long_runs",
    "support.console",
    "support.console_pair",
    "support.chromium",
]
