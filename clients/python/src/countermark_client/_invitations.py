"""Enrolment in three steps: an authority invites, an endpoint-to-be hands in its request, the authority approves.

Source: docs/spec/enrolment.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from countermark_client._flows_send import Sender
from countermark_client._io import Flow, Response, Sleep
from countermark_client._keystore import ADMINISTRATOR, AUTHORITY, INSTANCE
from countermark_client._log import LogView
from countermark_client._session import ProblemAnswer, Session, problem_error
from countermark_client.drafts import check_complete
from countermark_client.statements import Drafts, sign_gathering
from countermark_protocol.documents import Purpose, encode_document
from countermark_protocol.encoding import encode_base64url, encode_json
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    NotFoundError,
    PolicyError,
    SignatureError,
)
from countermark_protocol.gathering import read_gathering
from countermark_protocol.identifiers import authority_of, parse_address
from countermark_protocol.invitations import (
    Asked,
    Enrolment,
    Pending,
    Request,
    check_invitable,
    check_request,
    enrolment_hash,
    parse_code,
    parse_pending,
    same_request,
)
from countermark_protocol.keys import Signer, fingerprint
from countermark_protocol.records import AuthorityRecord

_PATH: Final = "/v1/invitations"
#: Seconds between looks whether an authority has approved.
_LOOK_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class PendingEnrolment:
    """A request that waits for its authority, checked.

    Attributes:
        pending: the invitation, with what came on it.
        enrolment: what was asked for.
        fingerprint: what the applicant reads out by voice, if nobody has swapped anything.
        signed: how many of the authority's keys have signed.
        threshold: how many must.
    """

    pending: Pending
    enrolment: Enrolment
    fingerprint: str
    signed: int
    threshold: int


@dataclass(frozen=True, slots=True)
class Invited:
    """What an authority has open at the broker.

    Attributes:
        waiting: requests that are whole, to be compared and approved.
        open: invitations on which no request has come.
        unusable: requests that are not whole, and why; the broker should not have kept them.
    """

    waiting: tuple[PendingEnrolment, ...]
    open: tuple[Pending, ...]
    unusable: tuple[tuple[Pending, CountermarkError], ...]


@dataclass(frozen=True, slots=True)
class Approved:
    """What became of an approval.

    Attributes:
        address: of the endpoint.
        fingerprint: that was compared.
        index: entry of its ``endpoint`` statement; None while more of the authority's keys must sign.
        keys_index: entry of its ``keys`` statement; None as long.
        wanting: how many signatures are still missing.
    """

    address: str
    fingerprint: str
    index: int | None
    keys_index: int | None
    wanting: int


def make_request(session: Session, name: str | None = None) -> Request:
    """The request to enrol this profile's endpoint: both statements, with possession of every key.

    Args:
        session: of a profile that holds an administrator's, an instance's and a sealing key.
        name: of the endpoint, for people; its address if not said.

    Raises:
        NotFoundError: ``no_such_key``.
    """
    profile = session.profile
    address, keystore = profile.endpoint, profile.keystore
    administrators, instance = keystore.signers(ADMINISTRATOR), keystore.signer(INSTANCE)
    drafts = Drafts(profile.log)
    endpoint = drafts.endpoint(
        address, name=name or address, administrator=[s.public_key for s in administrators]
    )
    keys = drafts.keys(
        address,
        signing=[(instance.public_key, profile.holder)],
        sealing=keystore.sealing_key().public_key,
    )
    return Request(
        sign_gathering(endpoint, possession=administrators),
        sign_gathering(keys, administrators[:1], [instance]),
    )


def request_fingerprint(session: Session, request: Request) -> str:
    """What the applicant reads out: binds trust file, administrator and all keys."""
    hashes = (read_gathering(data).document.payload_hash for data in (request.endpoint, request.keys))
    return fingerprint(enrolment_hash(session.profile.trust.document.payload_hash, *hashes))


def check_told(actual: str, told: str, what: str) -> None:
    """Compare a fingerprint with the one told by voice; spaces and case do not matter.

    Raises:
        SignatureError: ``other_fingerprint``.
    """
    if "".join(told.lower().split()) != "".join(actual.split()):
        raise SignatureError(
            "other_fingerprint",
            f"{what} has the fingerprint {actual}, which is not the one that you were told: do not go on",
        )


class Invitations:
    """The invitations of one profile: an authority's, or the one that an endpoint-to-be was given."""

    def __init__(self, session: Session, log: LogView, sender: Sender) -> None:
        self._session = session
        self._log = log
        self._sender = sender

    # --- the authority ---

    def invite(self, address: str, days: int) -> Flow[Pending]:
        """Invite an endpoint; see `Client.invite`."""
        yield from self._log.sync()
        asked = Asked(parse_address(address), days)
        record = self._authority(asked.address)
        check_invitable(record, asked.address)
        if self._log.directory.held(f"endpoint/{asked.address}") is not None:
            raise ConflictError(
                "already_enrolled",
                f"{asked.address} has been enrolled: change what stands by `draft endpoint`",
            )
        body = encode_json(asked.to_json())
        response = yield from self._call("POST", _PATH, body)
        [made] = parse_pending(b'{"invitations":[' + response.body + b"]}")
        if made.address != asked.address:
            raise PolicyError(
                "other_invitation", f"expected an invitation of {asked.address}, got {made.address}"
            )
        return made

    def read(self) -> Flow[Invited]:
        """What stands open at the broker; see `Client.invitations`."""
        yield from self._log.sync()
        response = yield from self._call("GET", _PATH)
        found = parse_pending(response.body)
        waiting: list[PendingEnrolment] = []
        unusable: list[tuple[Pending, CountermarkError]] = []
        for pending in found:
            if pending.request is not None and self._log.directory.keys(pending.address) is None:
                try:
                    waiting.append(self._checked(pending))
                except CountermarkError as error:
                    unusable.append((pending, error))
        return Invited(tuple(waiting), tuple(p for p in found if p.request is None), tuple(unusable))

    def withdraw(self, code: str) -> Flow[None]:
        """Withdraw an invitation, or refuse what came on it."""
        yield from self._call("DELETE", f"{_PATH}/{parse_code(code)}")

    def approve(self, found: PendingEnrolment, told: str, signer: Signer | None) -> Flow[Approved]:
        """Sign a request whose fingerprint was told by voice, and publish it once enough have signed."""
        check_told(found.fingerprint, told, f"the request of {found.pending.address}")
        signer = signer or self._session.profile.keystore.signer(AUTHORITY)
        pending, directory, clock = found.pending, self._log.directory, self._session.clock
        assert pending.request is not None
        request, missing = self._counted(pending.request, pending.address)
        if missing and signer.public_key.key_id not in read_gathering(request.endpoint).signed_by():
            request = Request(sign_gathering(request.endpoint, [signer]), request.keys)
            missing -= 1
        if missing:
            body = encode_json({"endpoint": encode_base64url(request.endpoint)})
            response = yield from self._call("PUT", f"{_PATH}/{pending.code}/approval", body)
            [kept] = parse_pending(b'{"invitations":[' + response.body + b"]}")
            if kept.request is None or not same_request(kept.request, request):
                raise SignatureError(
                    "other_fingerprint", "the broker has kept another request than was signed"
                )
            # Others may have signed at the same moment.
            request, missing = self._counted(kept.request, pending.address)
        if missing:
            return Approved(pending.address, found.fingerprint, None, None, missing)
        held = directory.held(f"endpoint/{pending.address}")
        if held is None:
            check_complete(directory, read_gathering(request.endpoint).document, clock())
            index = yield from self._sender.publish(request.endpoint)
        else:
            # This was interrupted between the two statements; the second tells whether it is the same endpoint.
            index = held.index
        yield from self._log.sync()
        check_complete(self._log.directory, read_gathering(request.keys).document, clock())
        keys_index = yield from self._sender.publish(request.keys)
        yield from self._call("DELETE", f"{_PATH}/{pending.code}")
        return Approved(pending.address, found.fingerprint, index, keys_index, 0)

    def _counted(self, request: Request, address: str) -> tuple[Request, int]:
        """A request with as many of the authority's signatures as must be, and how many are missing.

        Those of keys that are revoked do not count, and one more than the threshold would be refused.
        """
        principal = self._authority(address).keys
        document = read_gathering(request.endpoint).document
        signed = [
            s
            for s in document.counted
            if s.purpose is Purpose.SIGN
            and s.key_id in principal.ids
            and self._log.directory.revocation(s.key_id) is None
        ][: principal.threshold]
        kept = {s.key_id for s in signed}
        halves = {k.second.key_id for k in principal.keys if k.key_id in kept and k.second is not None}
        others = [s for s in document.signatures if s.purpose is not Purpose.SIGN or s.key_id in halves]
        endpoint = encode_document(document.payload, (*others, *signed))
        return Request(endpoint, request.keys), principal.threshold - len(signed)

    def _checked(self, pending: Pending) -> PendingEnrolment:
        assert pending.request is not None
        record = self._authority(pending.address)
        keys = {k.key_id: k for k in record.keys.keys}
        enrolment = check_request(pending.request, self._session.profile.log, pending.address, keys)
        _, missing = self._counted(pending.request, pending.address)
        mark = fingerprint(enrolment.fingerprint_hash(self._session.profile.trust.document.payload_hash))
        threshold = record.keys.threshold
        return PendingEnrolment(pending, enrolment, mark, threshold - missing, threshold)

    def _authority(self, address: str) -> AuthorityRecord:
        record = self._log.directory.authority(authority_of(address))
        if record is None:
            raise NotFoundError(
                "no_such_authority", f"authority '{authority_of(address)}' is not admitted, or is suspended"
            )
        return record

    # --- who was invited ---

    def request(self, code: str, name: str | None) -> Flow[str]:
        """Hand in the request of this profile's endpoint; the fingerprint to read out."""
        profile = self._session.profile
        request = make_request(self._session, name)
        check_request(request, profile.log, profile.endpoint, {})
        path = f"{_PATH}/{parse_code(code)}"
        yield from self._call("POST", path, encode_json(request.to_json()), signed=False)
        return request_fingerprint(self._session, request)

    def wait_enrolled(self, seconds: float) -> Flow[bool]:
        """Wait until this instance's key counts; whether it does."""
        profile = self._session.profile
        instance = profile.keystore.signer(INSTANCE).public_key.key_id
        until = self._session.clock() + round(seconds * 1000)
        while True:
            try:
                yield from self._log.sync()
            except SignatureError as error:
                # The log knows no key of this profile yet.
                if error.code not in {"unknown_key", "wrong_signer", "key_not_standing"}:
                    raise
            if (
                self._log.directory.count
                and self._log.directory.listed_instance(profile.endpoint, instance) is not None
            ):
                return True
            left = (until - self._session.clock()) / 1000
            if left <= 0:
                return False
            yield Sleep(min(_LOOK_SECONDS, left))

    # --- calls ---

    def _call(
        self, method: str, path: str, body: bytes | None = None, *, signed: bool = True
    ) -> Flow[Response]:
        signer = self._session.profile.keystore.signer(AUTHORITY) if signed else None
        try:
            response, _ = yield from self._session.call(method, path, body=body, signer=signer)
        except ProblemAnswer as answer:
            # Authorities have no boxes, and applicants no keys that count: nobody to account to.
            raise problem_error(answer.problem) from None
        return response
