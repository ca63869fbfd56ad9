"""One message all the way: posted, proven, read, signed for, released, fetched, opened, accepted."""

from countermark_protocol.accounts import Verdict, check_account
from countermark_protocol.answers import parse_accepted
from countermark_protocol.boxes import Box
from countermark_protocol.documents import parse_document, statement_hash
from countermark_protocol.manifest import parse_manifest
from countermark_protocol.parts import join_parts
from countermark_protocol.receipts import ReceiptStage
from countermark_protocol.recipients import verify_recipient
from support.world import KAMPALA, NAIROBI


def test_a_message_goes_all_the_way(world, api):
    api.refresh()
    sealed = world.message(NAIROBI, [KAMPALA], content={"note": "seized at the border", "items": [{"n": 1}]})
    answer = api.post_message(sealed)
    assert answer.status_code == 201
    accepted, leaf = api.verify_accepted(answer, sealed.document, sealed.expected_deliveries())

    entries, _, account = api.verified_box(KAMPALA, Box.ROUTINE)
    assert [statement_hash(e.document) for e in entries] == [leaf.statement]
    manifest = parse_manifest(parse_document(entries[0].document).claims)
    own = entries[0].recipient
    verify_recipient(own.row, own.at, manifest.recipient_count, manifest.recipient_root)

    target = f"/v1/messages/{sealed.payload_hash.hex()}"
    early = api.problem(api.request("GET", f"{target}/content", by=KAMPALA), "not_delivered")
    assert api.verify_account_of(early.account, api.last_digest).refusal.rule == "not_delivered"

    receipt = world.receipt(KAMPALA, [sealed])
    answer = api.post_receipt(receipt, KAMPALA)
    accepted, _ = api.verify_accepted(answer, receipt, {(NAIROBI, Box.NOTICES)})
    (release,) = accepted.releases
    assert release.message == sealed.payload_hash
    content = api.request("GET", f"{target}/content", by=KAMPALA).content
    parts = world.open(KAMPALA, manifest, release.stanza, content)
    assert join_parts(parts)["note"] == "seized at the border"

    done = world.receipt(KAMPALA, [sealed], ReceiptStage.ACCEPTED)
    assert api.post_receipt(done, KAMPALA).status_code == 201
    notices, _state, account = api.verified_box(NAIROBI, Box.NOTICES)
    assert [e.document for e in notices] == [receipt, done]
    verified = api.verify_account_of(account, api.last_digest)
    assert verified.verdict is Verdict.END_OF_BOX
    check_account(
        verified,
        account,
        NAIROBI,
        Box.NOTICES,
        [(e.inclusion.index, statement_hash(e.document)) for e in notices],
    )


def test_a_repeat_is_answered_with_the_same_leaf(world, api):
    api.refresh()
    sealed = world.message(NAIROBI, [KAMPALA])
    first = api.post_message(sealed)
    again = api.post_message(sealed)
    assert (first.status_code, again.status_code) == (201, 200)
    one, two = parse_accepted(first.content), parse_accepted(again.content)
    assert one.inclusion.leaf == two.inclusion.leaf
    assert one.inclusion.index == two.inclusion.index
    assert one.deliveries == two.deliveries
    api.verify_accepted(again, sealed.document, sealed.expected_deliveries())
