"""Publishing a statement without a profile: the answer is checked with the trust file alone."""

from __future__ import annotations

import httpx

from countermark_client import _http
from countermark_client._profile_files import check_broker_url
from countermark_client._proving import logged_document
from countermark_client._session import problem_error
from countermark_client._trust import TrustFile
from countermark_client.cli.common import environment
from countermark_protocol.answers import parse_accepted, parse_problem
from countermark_protocol.checkpoint import parse_checkpoint, verify_checkpoint
from countermark_protocol.claims import Claims, read_header
from countermark_protocol.documents import parse_document, statement_hash
from countermark_protocol.errors import MalformedError, TransportError
from countermark_protocol.proof import verify_leaf, verify_no_deliveries


def publish_with_trust(url: str, trust: TrustFile, data: bytes, verify: _http.Verify) -> int:
    """Post a directory statement; check by the trust file's log key that it is in the log.

    Args:
        url: of the broker.
        trust: founding of the log. Where the log has been given another key since, a profile is needed.
        data: the signed document.
        verify: for TLS, as of `Client`.

    Returns:
        Index of its entry.

    Raises:
        CountermarkError: as the broker refuses it.
        TransportError: the broker is away.
        VerificationError: its answer does not prove that the statement is in the log.
    """
    with (
        _http.mapped_errors(),
        httpx.Client(
            base_url=check_broker_url(url),
            transport=environment().transport,
            verify=_http.tls(verify),
            timeout=30.0,
        ) as client,
    ):
        response = client.post(
            "/v1/statements", content=data, headers={"Content-Type": "application/octet-stream"}
        )
    if not response.is_success:
        try:
            problem = parse_problem(response.content)
        except MalformedError:
            raise TransportError(
                "unusable_answer",
                f"status {response.status_code} without a problem document: is this a broker?",
            ) from None
        raise problem_error(problem)
    accepted = parse_accepted(response.content)
    logged = logged_document(parse_document(data), accepted)
    checkpoint = verify_checkpoint(
        parse_checkpoint(accepted.checkpoint), trust.origin, trust.record.log_key.raw
    )
    kind = read_header(Claims(logged.claims, "payload")).kind
    verify_no_deliveries(verify_leaf(accepted.inclusion, checkpoint, int(kind), statement_hash(logged.data)))
    return accepted.inclusion.index
