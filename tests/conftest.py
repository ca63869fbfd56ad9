"""Fixtures that tests share; each concern's own file in tests/support holds them."""

pytest_plugins = ["support.broker_fixtures"]
