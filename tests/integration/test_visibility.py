"""What a recipient learns of the others: where the list is hidden, no bytes that confirm a guess; where it is shown, all.

What one recipient was ever served is gathered, byte for byte, and then attacked: secrets of the others are looked for
in it as they are, in hexadecimal and in base64url; then every pair of values in it is tried as salt and secret of a row
for every guess. The same attack on a visible table finds everybody, so it would find what leaked.
"""

import base64
import itertools
import re

import pytest

from countermark_protocol.acts import PurgeGround
from countermark_protocol.answers import parse_accepted
from countermark_protocol.boxes import Box, Row
from countermark_protocol.leaf import LEAF_BYTES
from countermark_protocol.manifest import ResolvedGroup
from countermark_protocol.merkle import leaf_hash
from countermark_protocol.receipts import ReceiptStage
from countermark_protocol.recipients import RecipientRow
from support.world import BRUSSELS, KAMPALA, MOMBASA, NAIROBI, USUAL

OTHERS = (BRUSSELS, MOMBASA)
CALLS = (
    *(f"/v1/boxes/{KAMPALA}/{box.value}" for box in Box),
    "/v1/log/leaves",  # right behind the boxes
    "/v1/log/checkpoint",
    "/v1/leases?box=routine",
    "/v1/quotas",
    "/v1/webhooks",
)


class Served:
    """Everything that one endpoint is answered."""

    def __init__(self, api, by):
        self.api, self.by, self.bodies, self.leaves = api, by, [], b""

    def get(self, target):
        self.bodies.append(self.api.request("GET", target, by=self.by).content)

    def post(self, path, data):
        self.bodies.append(self.api.request("POST", path, data, self.by).content)

    def all_of(self, message):
        for what in ("stanza", "content", "purge"):
            self.get(f"/v1/messages/{message.payload_hash.hex()}/{what}")
        self.get(f"/v1/statements/{message.payload_hash.hex()}")

    def blob(self):
        """All of it, with what is inside documents in base64url laid open beside it."""
        whole = b"\n".join(self.bodies)
        inner = [_decoded(text) for text in re.findall(rb"[A-Za-z0-9_-]{40,}", whole)]
        return b"\n".join([whole, *inner])

    def digests(self):
        """Every value of 32 bytes that stands in it: in hexadecimal, or as a field of a leaf."""
        found = {bytes.fromhex(text.decode()) for text in re.findall(rb"\b[0-9a-f]{64}\b", self.blob())}
        for at in range(0, len(self.leaves), LEAF_BYTES):
            leaf = self.leaves[at : at + LEAF_BYTES]
            found |= {leaf[19:51], leaf[51:83], leaf[83:115]}
        return found


def _decoded(text):
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)) if len(text) % 4 != 1 else b""


def exchange(api, *, visible, **changes):
    """A message to three, collected, accepted, rejected, corrected, withdrawn; all that the first of them is served."""
    world = api.world
    api.refresh()
    served = Served(api, KAMPALA)
    message = world.message(NAIROBI, [KAMPALA, *OTHERS], recipients_visible=visible, **changes)
    proofs = [parse_accepted(api.post_message(message).content)]
    served.post("/v1/receipts", world.receipt(KAMPALA, [message]))
    for other, stage in zip(OTHERS, (ReceiptStage.ACCEPTED, ReceiptStage.DELIVERED), strict=True):
        for one in dict.fromkeys((ReceiptStage.DELIVERED, stage)):
            assert api.post_receipt(world.receipt(other, [message], one), other).status_code == 201
    served.post("/v1/receipts", world.receipt(KAMPALA, [message], ReceiptStage.ACCEPTED))
    served.all_of(message)
    correction = world.message(
        NAIROBI,
        [KAMPALA, *OTHERS],
        type="correction",
        recipients_visible=visible,
        conversation=message.payload_hash,
        in_reply_to=message.payload_hash,
        supersedes=message.payload_hash,
    )
    answer = api.post_message(correction)
    assert answer.status_code == 201, answer.text
    proofs.append(parse_accepted(answer.content))
    served.post("/v1/receipts", world.receipt(KAMPALA, [correction]))
    for one in (message, correction):
        purge = world.purge(NAIROBI, one, PurgeGround.WITHDRAWN)
        assert api.request("POST", "/v1/acts", purge, NAIROBI).status_code == 201
        served.all_of(one)
    for call in CALLS:
        served.get(call)
    served.leaves = served.bodies[len(Box) - len(CALLS)]
    return served, (message, correction), proofs


def secrets_of_others(messages, proofs):
    """What only sender and broker hold of the other recipients: whoever has it can confirm a guess."""
    for message, proof in zip(messages, proofs, strict=True):
        for row, stanza in zip(message.rows, message.stanzas, strict=True):
            if row.endpoint in OTHERS:
                yield from (row.salt, row.stanza, row.digest(), stanza[:64])
        for delivery in proof.deliveries.rows:
            if delivery.endpoint in OTHERS:
                yield from (delivery.salt, delivery.tail)


def found_in(blob, secret):
    encoded = base64.urlsafe_b64encode(secret).rstrip(b"=")[:-1]
    return secret in blob or secret.hex().encode() in blob or encoded in blob


def confirmed(api, digests):
    """Whom these values prove to be a recipient: tried as salt and stanza hash, or salt and tail, of every guess."""
    nodes, out = set(digests), set()
    for address in set(USUAL) - {KAMPALA, NAIROBI}:
        key = api.world.agencies[address].sealing.public_key.key_id
        for salt, other in itertools.permutations(digests, 2):
            rows = (
                RecipientRow(salt, address, key, other).digest(),
                Row(salt, address, "routine", other).digest(),
            )
            if any(row in nodes or leaf_hash(row) in nodes for row in rows):
                out.add(address)
    return out


@pytest.fixture
def served_hidden(api):
    return exchange(api, visible=False)


def test_of_a_hidden_list_a_recipient_holds_nothing_that_confirms_a_guess(api, served_hidden):
    served, messages, proofs = served_hidden
    blob = served.blob()
    assert len(blob) > 10_000
    assert not [secret.hex() for secret in secrets_of_others(messages, proofs) if found_in(blob, secret)]
    for other in OTHERS:
        assert other.encode() not in blob
        assert api.world.agencies[other].sealing.public_key.key_id.hex().encode() not in blob
        assert api.world.agencies[other].instance.public_key.key_id.hex().encode() not in blob
    digests = served.digests()
    assert {row.salt for row in messages[0].rows if row.endpoint == KAMPALA} <= digests
    assert confirmed(api, sorted(digests)) == set()
    # How many there are it learns, and that is said: it stands in the manifest and bounds the path.
    assert b'"count":3' in blob


def test_of_a_visible_list_it_holds_all(api):
    served, messages, proofs = exchange(api, visible=True)
    blob = served.blob()
    for other in OTHERS:
        assert other.encode() in blob
    # The attack finds whom it should: the salts and stanza hashes of all rows are there.
    rows = [d for m in messages for r in m.rows for d in (r.salt, r.stanza, leaf_hash(r.digest()))]
    assert confirmed(
        api,
        sorted(set(rows) & (served.digests() | {leaf_hash(r.digest()) for m in messages for r in m.rows})),
    ) == set(OTHERS)
    # What is secret all the same: the others' stanzas, and when each box of theirs got it.
    for message, proof in zip(messages, proofs, strict=True):
        theirs = [s for r, s in zip(message.rows, message.stanzas, strict=True) if r.endpoint in OTHERS]
        hidden = [*(s[:64] for s in theirs), *(d.tail for d in proof.deliveries.rows if d.endpoint in OTHERS)]
        assert not [secret.hex() for secret in hidden if found_in(blob, secret)]


def test_a_group_that_is_named_shows_its_members_to_every_participant(api):
    """A list hidden by `visible` is no secret where the manifest names the group: clients say so before sending."""
    data = api.world.group_statement("ke/alerted", [KAMPALA, *OTHERS])
    assert api.post_statement(data).status_code == 201
    api.refresh()
    group = ResolvedGroup("ke/alerted", api.directory.held("group/ke/alerted").statement)
    served, (message, _), _ = exchange(api, visible=False, group=group)
    assert b'"group":{"name":"ke/alerted"' in served.blob()
    record = api.directory.held_by_statement("group/ke/alerted", message.manifest.group.statement).record
    assert message.manifest.recipient_count == len(record.members)
    assert set(record.members) == {KAMPALA, *OTHERS}
    # The rows stay as blind as they are: of a part of the group it would not be known which.
    assert confirmed(api, sorted(served.digests())) == set()
