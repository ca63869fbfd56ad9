"""Invitations of a broker in memory.

Source: docs/spec/enrolment.md §2.
"""

from __future__ import annotations

import os
from dataclasses import replace

from countermark_client.testing._desk import Answer, Desk, Exchange
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import encode_json, parse_base64url, parse_object
from countermark_protocol.errors import MalformedError, SignatureError
from countermark_protocol.identifiers import AuthorityCode, authority_of
from countermark_protocol.invitations import (
    CODE_BYTES,
    MAX_REQUEST,
    Invitation,
    Pending,
    check_invitable,
    check_request,
    encode_pending,
    make_code,
    merge_approval,
    no_invitation,
    parse_asked,
    parse_code,
    parse_request,
    same_request,
)
from countermark_protocol.records import AuthorityRecord

_JSON = {"content-type": "application/json"}
_DAY = 86_400_000


class Reception(Desk):
    """Where an endpoint-to-be and its authority find each other.

    Attributes:
        invitations: by code.
    """

    invitations: dict[str, Pending]

    def _inviter(self, exchange: Exchange) -> AuthorityRecord:
        key = self._verified(exchange).key_id
        directory = self.state.directory
        for subject in directory.subjects_of_key(key):
            prefix, _, name = subject.partition("/")
            record = directory.authority(AuthorityCode(name)) if prefix == "authority" else None
            if record is not None and key in record.keys.ids and directory.revocation(key) is None:
                return record
        raise SignatureError("not_an_authority", "the request is signed by no current key of an authority")

    def _open(self, code: str) -> Pending:
        try:
            found = self.invitations.get(parse_code(code))
        except MalformedError:
            found = None
        if found is None or found.expires <= self._clock():
            raise no_invitation()
        return found

    def _post_invitation(self, exchange: Exchange) -> Answer:
        record, asked = self._inviter(exchange), parse_asked(exchange.body)
        check_invitable(record, asked.address)
        now = self._clock()
        made = Pending(make_code(os.urandom(CODE_BYTES)), asked.address, now, now + asked.days * _DAY, None)
        self.invitations[made.code] = made
        return 200, _JSON, encode_json(made.to_json())

    def _get_invitations(self, exchange: Exchange) -> Answer:
        code = self._inviter(exchange).code
        found = [
            one
            for one in self.invitations.values()
            if authority_of(one.address) == code and one.expires > self._clock()
        ]
        return 200, _JSON, encode_json(encode_pending(found))

    def _get_invitation(self, code: str) -> Answer:
        found = self._open(code)
        record = self.state.directory.authority(authority_of(found.address))
        if record is None or found.request is not None:
            raise no_invitation()
        founding = self.entries[0].document.data
        answer = Invitation(found.code, found.address, record.name, found.expires, founding)
        return 200, _JSON, encode_json(answer.to_json())

    def _post_request(self, exchange: Exchange, code: str) -> Answer:
        found, request = self._open(code), parse_request(exchange.body)
        check_request(request, self.origin, found.address, {})
        if found.request is None:
            self.invitations[found.code] = replace(found, request=request)
        elif not same_request(found.request, request):
            raise no_invitation()
        return 200, _JSON, encode_json({"status": "waiting"})

    def _put_approval(self, exchange: Exchange, code: str) -> Answer:
        record, found = self._inviter(exchange), self._open(code)
        claims = Claims(parse_object(exchange.body, "approval"), "approval")
        endpoint = parse_base64url(claims.raw("endpoint"), "'endpoint' of approval", MAX_REQUEST)
        claims.done()
        if found.request is None or authority_of(found.address) != record.code:
            raise no_invitation()
        merged = merge_approval(found.request, endpoint)
        check_request(merged, self.origin, found.address, {k.key_id: k for k in record.keys.keys})
        self.invitations[found.code] = replace(found, request=merged)
        return 200, _JSON, encode_json(self.invitations[found.code].to_json())

    def _delete_invitation(self, exchange: Exchange, code: str) -> Answer:
        record = self._inviter(exchange)
        held = self.invitations.get(parse_code(code))
        if held is not None and authority_of(held.address) == record.code:
            del self.invitations[held.code]
        return 200, _JSON, encode_json({"status": "withdrawn"})
