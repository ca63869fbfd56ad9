"""What the broker does for its callers, one file a concern; no HTTP, no SQL."""
