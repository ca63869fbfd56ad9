"""The HTTP API under /v1 (docs/spec/api.md)."""
