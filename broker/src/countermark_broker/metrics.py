"""What `/metrics` shows. A registry of its own for each broker, so that tests can run two in one process."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from countermark_broker.log.appender import Appended, Outcome, Repeated
from countermark_protocol.claims import KIND_NAMES, Kind


class Metrics:
    """Counters and gauges of one broker node."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.accepted = Counter(
            "countermark_accepted", "Statements that became entries by this node", ["kind"], registry=r
        )
        self.repeated = Counter("countermark_repeated", "Statements that were entries already", registry=r)
        self.refused = Counter(
            "countermark_refused", "Requests answered with a problem, by its code", ["code"], registry=r
        )
        self.unverified = Counter(
            "countermark_unverified_rejects",
            "Requests whose sender is not known: the only trace they leave",
            registry=r,
        )
        self.group_size = Histogram(
            "countermark_group_statements",
            "Statements a commit",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
            registry=r,
        )
        self.commit_seconds = Histogram(
            "countermark_commit_seconds",
            "From taking a group until it is published",
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15),
            registry=r,
        )
        self.published_size = Gauge("countermark_published_size", "Leaves published", registry=r)
        self.checkpoint_age = Gauge(
            "countermark_checkpoint_age_seconds",
            "Since this node last compared its checkpoint with the store",
            registry=r,
        )
        self.listeners = Gauge("countermark_listeners", "Long-polls waiting", registry=r)
        self.undelivered = Counter(
            "countermark_undelivered", "Undelivered notices logged by this node", registry=r
        )
        self.fatal = Gauge("countermark_fatal", "1 once this node has stopped appending for good", registry=r)

    def committed(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """A group was committed and published."""
        self.group_size.observe(len(outcomes))
        self.commit_seconds.observe(seconds)
        for outcome in outcomes:
            if isinstance(outcome, Appended):
                self.accepted.labels(KIND_NAMES[Kind(outcome.entry.leaf.kind)]).inc()
            elif isinstance(outcome, Repeated):
                self.repeated.inc()
            # Refusals and failures are counted where they are answered.

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
