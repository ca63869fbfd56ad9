"""The agency's own log: who did what, when, with what; hash-chained, so that no entry changes or goes unseen."""
