"""Further signatures at a real broker: demanded by account, logged, kept through a rebuild, told to whose name it was."""

from dataclasses import replace

from countermark_protocol.accounts import Verdict
from countermark_protocol.boxes import Box
from countermark_protocol.claims import Kind
from countermark_protocol.documents import Purpose, encode_document, make_signature, parse_document
from countermark_protocol.handling import Classification
from countermark_protocol.policy import Embargo, Side
from countermark_protocol.records import InstanceKey, KeysRecord
from countermark_protocol.submission import encode_submission, parse_submission
from support.world import ALL_TYPES, BRUSSELS, KAMPALA, NAIROBI, handling, signer

SECOND = signer("second person of Nairobi")
SAME = signer("second key of the first person")
ANYBODY = Side(frozenset(), frozenset())


def signed_also(sealed, *further):
    """A submission with further (key, purpose) under its manifest."""
    s = parse_submission(sealed.data)
    signatures = [make_signature(s.document.payload, key, why) for key, why in further]
    document = encode_document(s.document.payload, [*s.document.signatures, *signatures])
    return encode_submission(document, s.rows, s.stanzas, s.content)


def more_keys(world):
    """Nairobi's keys, with those of a second person and a second one of the first beside."""
    agency = world.agencies[NAIROBI]
    holders = {agency.instance: "worker-1", SAME: "worker-1", SECOND: "worker-2"}
    keys = sorted(
        (InstanceKey(k.public_key, name) for k, name in holders.items()), key=lambda k: k.key.key_id
    )
    record = KeysRecord(NAIROBI, tuple(keys), agency.sealing.public_key, None, 0, ALL_TYPES)
    return world.record_statement(Kind.KEYS, NAIROBI, record, [agency.administrator], [SAME, SECOND])


def test_what_two_persons_must_sign_is_refused_with_an_account_until_they_have(world, api):
    assert api.post_statement(more_keys(world)).status_code == 201
    api.refresh()
    secret = handling(classification=Classification.CONFIDENTIAL)
    sealed = world.message(NAIROBI, [KAMPALA], handling=secret)
    problem = api.problem(api.post_message(sealed), "release_required")
    account = api.verify_account_of(problem.account, sealed.payload_hash)
    assert (account.verdict, account.refusal.rule) == (Verdict.REFUSED, "release_required")
    assert account.refusal.decided_size > 0
    sealed = world.message(NAIROBI, [KAMPALA], handling=secret)
    for key, code in ((SAME, "same_holder"), (world.agencies[KAMPALA].instance, "wrong_signer")):
        api.problem(api.post_message(signed_also(sealed, (key, Purpose.RELEASE))), code)
    assert api.post_message(signed_also(sealed, (SECOND, Purpose.RELEASE))).status_code == 201
    [entry] = api.box(KAMPALA, Box.ROUTINE).entries
    assert {s.purpose for s in parse_document(entry.document).signatures} == {Purpose.SIGN, Purpose.RELEASE}


def test_whose_name_it_is_signs_and_is_told(world, api):
    api.refresh()
    request = world.message(NAIROBI, [KAMPALA], type="tracing-request")
    assert api.post_message(request).status_code == 201
    office, point = "ug.licensing.office", world.agencies[KAMPALA].instance
    for data in (world.endpoint_statement(office), world.keys_statement(office)):
        assert api.post_statement(data).status_code == 201
    facts = {"stage": "acknowledged", "outcome": dict.fromkeys(("success", "partial", "none", "refused"), 0)}
    answer = world.reply(
        office, request, type="tracing-acknowledgement", extra=facts | {"on_behalf_of": KAMPALA}
    )
    api.problem(api.post_message(answer), "too_few_signatures")
    stranger = world.agencies[BRUSSELS].instance
    api.problem(api.post_message(signed_also(answer, (stranger, Purpose.BEHALF))), "wrong_signer")
    assert api.post_message(signed_also(answer, (point, Purpose.BEHALF))).status_code == 201
    [told] = api.box(KAMPALA, Box.NOTICES).entries
    [got] = api.box(NAIROBI, Box.ROUTINE).entries
    assert told.document == got.document
    assert told.recipient is None
    alone = world.reply(office, request, type="tracing-acknowledgement", extra=facts)
    api.problem(api.post_message(alone), "unknown_reply_target")


def test_an_embargo_stands_above_every_rule(world, api):
    api.refresh()
    assert api.post_message(world.message(NAIROBI, [KAMPALA])).status_code == 201
    embargo = Embargo("no-arms-talk", ANYBODY, Side(frozenset(), frozenset({"ug"})), basis="a resolution")
    table = replace(world.policy, embargoes=(embargo,))
    assert api.post_statement(world.policy_statement(table)).status_code == 201
    problem = api.problem(api.post_message(world.message(NAIROBI, [KAMPALA])), "embargoed")
    assert "no-arms-talk" in problem.detail
    assert api.post_message(world.message(NAIROBI, [BRUSSELS])).status_code == 201
