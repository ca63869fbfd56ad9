"""What `/metrics` shows. A registry of its own for each broker, so that tests can run two in one process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from countermark_broker.log.appender import Appended, Outcome, Repeated
from countermark_protocol.claims import KIND_NAMES, Kind

#: Where the workers of one `serve` keep their numbers for one another; the library's own variable.
WORKERS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """Counters and gauges of one broker node.

    What workers show together is the sum of those that live; of the published size the least, so that one that
    lags shows.
    """

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
        self.published_size = Gauge(
            "countermark_published_size", "Leaves published", registry=r, multiprocess_mode="livemin"
        )
        self.checkpoint_age = Gauge(
            "countermark_checkpoint_age_seconds",
            "Since this node last compared its checkpoint with the store",
            registry=r,
            multiprocess_mode="livemax",
        )
        self.witnessed_size = Gauge(
            "countermark_witnessed_size",
            "Leaves in the newest checkpoint that a quorum of witnesses has cosigned",
            registry=r,
            multiprocess_mode="livemin",
        )
        self.witness_age = Gauge(
            "countermark_witness_age_seconds",
            "Since a quorum of witnesses last cosigned; infinite if it never did; 0 while the log has no witnesses",
            registry=r,
            multiprocess_mode="livemax",
        )
        self.stamps = Counter(
            "countermark_stamps",
            "Time stamps that this node asked for, by authority and outcome",
            ["authority", "outcome"],
            registry=r,
        )
        self.stamps_failing = Gauge(
            "countermark_stamps_failing_seconds",
            "Since an authority of time stamps first failed; 0 while it stamps",
            ["authority"],
            registry=r,
            multiprocess_mode="livemax",
        )
        self.keys_ending = Gauge(
            "countermark_endpoints_keys_ending",
            "Endpoints whose keys have ended, are revoked, or end within so many days, with none to follow",
            ["days"],
            registry=r,
            multiprocess_mode="livemax",
        )
        self.listeners = Gauge(
            "countermark_listeners", "Long-polls waiting", registry=r, multiprocess_mode="livesum"
        )
        self.undelivered = Counter(
            "countermark_undelivered", "Undelivered notices logged by this node", registry=r
        )
        self.retention_purges = Counter(
            "countermark_retention_purges",
            "Messages purged by this node since their retention had ended",
            registry=r,
        )
        self.audited = Counter(
            "countermark_audited_entries",
            "Entries shown to auditors by this node, by the look-up's scope",
            ["scope"],
            registry=r,
        )
        self.pieces = Counter(
            "countermark_pieces",
            "Pieces of attachments: uploaded, repeated (held already), served; deleted as unclaimed or purged",
            ["what"],
            registry=r,
        )
        self.piece_bytes = Counter(
            "countermark_piece_bytes", "Their bytes: uploaded and served", ["what"], registry=r
        )
        self.content_sweeps = Counter(
            "countermark_content_sweeps",
            "Looks for pieces to be deleted, by outcome",
            ["outcome"],
            registry=r,
        )
        self.connections = Gauge(
            "countermark_connections", "Connections open", registry=r, multiprocess_mode="livesum"
        )
        self.connections_ended = Counter(
            "countermark_connections_ended",
            "Connections refused or ended by a limit, by its name (docs/operations/limits.md)",
            ["limit"],
            registry=r,
        )
        self.verifying = Gauge(
            "countermark_verifying",
            "Signatures that wait to be verified",
            registry=r,
            multiprocess_mode="livesum",
        )
        self.webhooks = Gauge(
            "countermark_webhooks",
            "Webhooks registered, by state",
            ["state"],
            registry=r,
            multiprocess_mode="livemostrecent",
        )
        self.webhook_looks = Counter(
            "countermark_webhook_looks",
            "Looks told by this node, and tries that failed",
            ["outcome"],
            registry=r,
        )
        self.webhooks_off = Counter(
            "countermark_webhooks_switched_off",
            "Webhooks that this node switched off: days of failure, or gone",
            registry=r,
        )
        self.fatal = Gauge(
            "countermark_fatal",
            "1 once this node has stopped appending for good",
            registry=r,
            multiprocess_mode="livemax",
        )

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
        """The text that Prometheus reads: of all workers together where `serve --workers` runs several."""
        if WORKERS_VARIABLE not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
