"""From a fresh machine to a working endpoint: one step after the other, each kept, so that any can be interrupted."""
