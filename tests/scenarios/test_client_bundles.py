"""Bundles for posts without a line: out to a connected post of the same endpoint, back, and proven like online."""

import dataclasses

import pytest

from countermark_client import Client, Profile, Settings, create_backup, restore_backup, testing
from countermark_client._bundle_carrier import check_item
from countermark_protocol import bundle as bundles
from countermark_protocol.boxes import Box
from countermark_protocol.documents import sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    MalformedError,
    ProofError,
    TransportError,
    UncheckableError,
)

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"
CUT_OFF = Settings(cut_off=True, max_checkpoint_age=24 * 3600 * 1000)


class NoLine:
    """A transport that must not be used."""

    def handle_request(self, request):
        raise AssertionError(f"a post without a line asked for {request.url}")

    def close(self):
        pass


class Post:
    """An endpoint's post without a line (`hill`), its connected one (`town`), and who writes to it."""

    def __init__(self):
        self.world = testing.world(KENYA, BELGIUM)
        self.belgium = self.world.client(BELGIUM)
        self.town = self.world.client(KENYA)
        self.hill_profile = self.world.profile(KENYA, keystore=self.world.add_instance(KENYA, "hill"))
        self.hill = self.client_of(self.hill_profile)
        self.round()

    def client_of(self, profile):
        clock = self.world.clock
        return Client(profile, transport=NoLine(), settings=CUT_OFF, clock=clock, sleep=clock.sleep)

    def round(self):
        out = self.hill.export_bundle()
        back = self.town.carry_bundle(out.data)
        return self.hill.import_bundle(back.data)

    def write(self, case="HILL-1"):
        with pytest.raises(TransportError) as caught:
            self.hill.send("tracing-request", testing.sample_request(case), to=[BELGIUM])
        assert caught.value.code == "cut_off"
        return self.hill.outbox()[-1].payload

    def send_to_kenya(self, case="B-1"):
        return self.belgium.send("lost-or-stolen-notice", testing.sample_notice(case), to=[KENYA])


@pytest.fixture
def post():
    return Post()


def dump(post):
    """All that the profile without a line knows."""
    return list(post.hill_profile.store._db._connection.iterdump())


def test_a_message_goes_out_is_logged_and_its_proof_comes_back(post):
    payload = post.write()
    out = post.hill.export_bundle()
    assert (out.messages, out.receipts, out.left) == (1, 0, 0)
    back = post.town.carry_bundle(out.data)
    assert (back.logged, back.refused) == (1, 0)
    imported = post.hill.import_bundle(back.data)
    assert (imported.logged, imported.refused, imported.complete) == (1, 0, True)
    assert post.hill.status(payload).stage == "logged"
    assert post.hill.proof(payload)
    [received] = post.belgium.inbox()
    assert received.message == payload
    # The connected post knows the other instance's entry by the endpoint's record, and raises no alarm.
    assert post.town.sync_sent() == 0
    assert post.town.halted is None


def test_what_becomes_of_it_comes_back_as_notices(post):
    payload = post.write()
    post.round()
    next(post.belgium.inbox()).accept()
    imported = post.round()
    assert imported.entries[Box.NOTICES] == 2
    assert post.hill.status(payload).recipients[0].stage == "accepted"


def test_a_delivery_is_signed_for_by_the_connected_post_and_opened_without_a_line(post):
    sent = post.send_to_kenya()
    imported = post.round()
    assert imported.opened == 1
    post.belgium.notices()
    assert post.belgium.status(sent).recipients[0].stage == "delivered"
    [received] = post.hill.inbox()
    assert received.message == sent.message
    assert received.content.national_case_ref == "B-1"
    received.accept()
    assert list(post.hill.inbox()) == []
    assert post.hill.accept_many([received]) == 0
    post.round()
    post.belgium.notices()
    assert post.belgium.status(sent).recipients[0].stage == "accepted"
    assert post.hill.messages("in")[0].stage == "accepted"


def test_nothing_is_posted_twice_when_a_bundle_is_carried_again(post):
    post.write()
    out = post.hill.export_bundle()
    post.town.carry_bundle(out.data)
    size = post.world.broker.state.size
    with pytest.raises(ConflictError) as caught:
        post.town.carry_bundle(out.data)
    assert caught.value.code == "bundle_replayed"
    back = post.town.carry_bundle(out.data, again=True)
    assert post.world.broker.state.size == size
    assert post.hill.import_bundle(back.data).logged == 1


def test_a_line_that_breaks_while_carrying_posts_nothing_twice(post):
    post.write("1"), post.write("2")
    out = post.hill.export_bundle()
    impatient = post.world.client(post.town.profile, settings=Settings(attempts=1))
    post.world.transport.cut = ["after"]
    with pytest.raises(TransportError):
        impatient.carry_bundle(out.data)
    back = post.town.carry_bundle(out.data)
    assert back.logged == 2
    assert post.hill.import_bundle(back.data).logged == 2
    messages = [e for e in post.world.broker.entries if e.document.claims["kind"] == "message"]
    assert len(messages) == 2


def test_a_refusal_comes_back_with_its_account(post):
    payload = post.write()
    post.world.suspend(BELGIUM)
    out = post.hill.export_bundle()
    back = post.town.carry_bundle(out.data)
    assert (back.logged, back.refused) == (0, 1)
    assert post.hill.import_bundle(back.data).refused == 1
    assert post.hill.status(payload).stage == "refused"
    assert post.hill.outbox()[-1].account


def test_the_age_is_told_by_what_the_broker_signed_not_by_when_it_was_imported(post):
    post.world.clock.advance(hours=1)
    out = post.hill.export_bundle()
    back = post.town.carry_bundle(out.data)
    post.world.clock.advance(hours=20)
    imported = post.hill.import_bundle(back.data)
    assert imported.age == 20 * 3600 * 1000
    assert post.hill.checkpoint_age == 20 * 3600 * 1000
    post.write()
    post.world.clock.advance(hours=5)
    with pytest.raises((UncheckableError, TransportError)) as caught:
        post.hill.send("tracing-request", testing.sample_request("late"), to=[BELGIUM])
    assert caught.value.code == "stale_checkpoint"
    assert len(post.hill.outbox()) == 1


def test_new_instances_and_revocations_come_with_the_directory(post):
    # Certified after the other post last had a bundle: its key comes in the bundle that it signs.
    later = post.world.client(post.world.profile(KENYA, keystore=post.world.add_instance(KENYA, "later")))
    out = post.hill.export_bundle()
    imported = post.hill.import_bundle(later.carry_bundle(out.data).data)
    assert imported.complete
    assert post.hill.directory.count == later.directory.count


def test_a_message_listed_on_a_line_that_then_broke_is_brought_whole(post):
    sent = post.send_to_kenya()
    online = post.world.client(post.hill_profile)
    online._run(online._core.boxes.read_all(Box.ROUTINE))
    out = post.hill.export_bundle()
    assert out.wanted == 1
    post.hill.import_bundle(post.town.carry_bundle(out.data).data)
    assert [m.message for m in post.hill.inbox()] == [sent.message]


# --- what is refused, and changes nothing ---------------------------------------------------------------


@pytest.fixture
def back(post):
    post.write()
    post.send_to_kenya()
    return post.town.carry_bundle(post.hill.export_bundle().data).data


def refused(post, data, code, kind=CountermarkError):
    before = dump(post)
    age = post.hill.checkpoint_age
    with pytest.raises(kind) as caught:
        post.hill.import_bundle(data)
    assert caught.value.code == code
    assert dump(post) == before
    assert (post.hill.checkpoint_age, post.hill.halted) == (age, None)


def resigned(post, data, *, signer=None, items=None, **changes):
    """A bundle with other items or claims, properly signed by the connected post's key or another."""
    parsed = bundles.parse_bundle(data)
    framed = bundles.encode_items(parsed.items if items is None else items)
    manifest = dataclasses.replace(
        parsed.manifest,
        items=len(parsed.items if items is None else items),
        size=len(framed),
        digest=bundles.items_digest(framed),
        **changes,
    )
    key = signer or post.town.profile.keystore.signer("instance")
    return bundles.encode_bundle(sign_document(encode_json(manifest.to_json()), [key]), framed)


def test_a_tampered_bundle(post, back):
    for at in (len(back) // 2, len(back) - 1):
        altered = bytearray(back)
        altered[at] ^= 1
        refused(post, bytes(altered), "bundle_altered")


def test_a_manifest_with_another_signature(post, back):
    start = len(bundles.MAGIC) + 4
    size = int.from_bytes(back[len(bundles.MAGIC) : start], "big")
    altered = bytearray(back)
    altered[start + size - 1] ^= 1
    before = dump(post)
    with pytest.raises(CountermarkError):
        post.hill.import_bundle(bytes(altered))
    assert dump(post) == before


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_bundle(post, back, keep):
    refused(post, back[: int(len(back) * keep)], "bundle_truncated")


def test_a_bundle_with_bytes_after_its_end(post, back):
    refused(post, back + b"\0", "bundle_altered")


def test_a_bundle_whose_items_stand_in_another_order(post, back):
    parsed = bundles.parse_bundle(back)
    framed = bundles.encode_items(parsed.items)
    first = bundles.item_size(parsed.items[0])
    second = bundles.item_size(parsed.items[1])
    turned = framed[first : first + second] + framed[:first] + framed[first + second :]
    refused(post, bundles.encode_bundle(parsed.document.data, turned), "bundle_reordered")


def test_a_replayed_bundle(post, back):
    post.hill.import_bundle(back)
    refused(post, back, "bundle_replayed", ConflictError)


def test_a_bundle_of_another_log(post, back):
    refused(post, resigned(post, back, log="other.example.org/log"), "bundle_wrong_log")


def test_a_bundle_of_another_endpoint(post, back):
    refused(post, resigned(post, back, endpoint=BELGIUM), "bundle_wrong_endpoint")


def test_a_bundle_on_its_way_out(post):
    refused(post, post.hill.export_bundle().data, "bundle_wrong_course")
    back = post.town.carry_bundle(post.hill.export_bundle().data)
    with pytest.raises(ConflictError) as caught:
        post.town.carry_bundle(back.data)
    assert caught.value.code == "bundle_wrong_course"


def test_a_bundle_that_answers_none_of_this_profile(post, back):
    refused(post, resigned(post, back, answers=bytes(32)), "bundle_not_awaited")


def test_a_bundle_older_than_what_was_imported_since(post, back):
    # Two couriers: the second to arrive begins where this profile no longer stands.
    post.world.clock.advance(seconds=1)
    second = post.town.carry_bundle(post.hill.export_bundle().data).data
    post.hill.import_bundle(back)
    refused(post, second, "bundle_not_awaited")


def test_a_bundle_signed_by_another_endpoint_s_instance(post, back):
    key = post.belgium.profile.keystore.signer("instance")
    refused(post, resigned(post, back, signer=key), "bundle_signer")


def test_a_bundle_signed_by_an_instance_that_is_revoked_in_it(post):
    post.world.revoke_instance(KENYA)  # the connected post's own key
    fresh = post.world.client(post.world.profile(KENYA, keystore=post.world.add_instance(KENYA, "fresh")))
    good = fresh.carry_bundle(post.hill.export_bundle().data).data
    key = post.town.profile.keystore.signer("instance")
    refused(post, resigned(post, good, signer=key), "bundle_signer")
    assert post.hill.import_bundle(good).complete


def test_a_page_left_out_is_told_and_the_next_bundle_brings_it(post, back):
    items = [i for i in bundles.parse_bundle(back).items if "/urgent?" not in i.target]
    assert not post.hill.import_bundle(resigned(post, back, items=items)).complete
    assert post.round().complete


def test_a_proof_left_out(post, back):
    items = [i for i in bundles.parse_bundle(back).items if "consistency" not in i.target]
    refused(post, resigned(post, back, items=items), "not_carried", TransportError)


def test_an_entry_changed_within_a_properly_signed_bundle(post, back):
    parsed = bundles.parse_bundle(back)
    items = [
        dataclasses.replace(i, body=i.body.replace(b'"position":0', b'"position":1'))
        if "/routine?" in i.target
        else i
        for i in parsed.items
    ]
    assert items != list(parsed.items)
    before = dump(post)
    with pytest.raises(ProofError):
        post.hill.import_bundle(resigned(post, back, items=items))
    assert dump(post) == before


def test_a_stanza_of_another_message(post, back):
    items = [
        dataclasses.replace(i, body=i.body.replace(b'"stanza":"', b'"stanza":"AAAA'))
        if i.target.endswith("/stanza")
        else i
        for i in bundles.parse_bundle(back).items
    ]
    refused(post, resigned(post, back, items=items), "stanza_mismatch", ProofError)


def test_a_checkpoint_other_than_the_one_stated(post, back):
    seen = dataclasses.replace(bundles.parse_bundle(back).manifest.seen, root=bytes(32))
    refused(post, resigned(post, back, seen=seen), "bundle_mismatch", ProofError)


def test_two_answers_to_one_question(post, back):
    items = bundles.parse_bundle(back).items
    refused(post, resigned(post, back, items=[*items, items[-1]]), "bundle_target", MalformedError)


def test_a_connected_post_does_not_carry_statements_of_others(post):
    out = post.hill.export_bundle().data
    [item] = post.belgium.outbox()[:1] or [None]
    if item is None:
        post.send_to_kenya()
        [item] = post.belgium.outbox()
    foreign = bundles.Item("/v1/messages", 0, item.body)
    size = post.world.broker.state.size
    key = post.hill_profile.keystore.signer("instance")
    with pytest.raises(MalformedError) as caught:
        post.town.carry_bundle(resigned(post, out, items=[foreign], signer=key))
    assert caught.value.code == "bundle_foreign_item"
    other = bundles.Item("/v1/statements", 0, item.body)
    with pytest.raises(MalformedError) as caught:
        post.town.carry_bundle(resigned(post, out, items=[other], signer=key))
    assert caught.value.code == "bundle_target"
    assert post.world.broker.state.size == size


def test_a_connected_post_carries_for_current_instances_only(post):
    out = post.hill.export_bundle().data
    key = post.belgium.profile.keystore.signer("instance")
    with pytest.raises(CountermarkError) as caught:
        post.town.carry_bundle(resigned(post, out, signer=key))
    assert caught.value.code == "bundle_signer"


def post_round(post, **how):
    post.world.clock.advance(seconds=1)  # two bundles of one moment that say the same are one
    back = post.town.carry_bundle(post.hill.export_bundle().data)
    return post.hill.import_bundle(back.data, **how)


@pytest.fixture
def restored(post, tmp_path):
    """Restores the post's profile as it stood at a moment; the profile that was lost sent on meanwhile."""
    profile = post.world.profile(
        KENYA, keystore=post.world.add_instance(KENYA, "ridge"), folder=tmp_path / "a"
    )
    post.hill = post.client_of(profile)
    post_round(post)

    def lose_and_restore():
        post.hill.profile.close()
        restore_backup(tmp_path / "backup", tmp_path / "new", "of the backup")
        post.hill = post.client_of(Profile.open(tmp_path / "new", testing.PASSPHRASE))
        return post.hill

    return lambda: create_backup(tmp_path / "a", tmp_path / "backup", "of the backup"), lose_and_restore


def test_a_restored_post_is_compared_by_the_bundle_that_answers_an_empty_one(post, restored):
    backup, lose_and_restore = restored
    waited = post.write("HILL-0")
    old = post.hill.export_bundle()
    backup()
    back = post.town.carry_bundle(old.data)
    post.hill.import_bundle(back.data)
    later = post.write("HILL-1")
    post_round(post)
    hill = lose_and_restore()
    with pytest.raises(ConflictError) as caught:
        hill.import_bundle(back.data)  # what it answers is older than what was sent since
    assert caught.value.code == "bundle_not_awaited"
    with pytest.raises(UncheckableError) as unchecked:
        hill.send("tracing-request", testing.sample_request("HILL-2"), to=[BELGIUM])
    assert unchecked.value.code == "restored_unchecked"

    post.world.clock.advance(seconds=1)  # two bundles of one moment that say the same are one
    out = hill.export_bundle()
    assert (out.messages, out.receipts, out.left) == (0, 0, 1)
    back = post.town.carry_bundle(out.data)
    with pytest.raises(ConflictError) as caught:
        hill.import_bundle(back.data)
    assert caught.value.code == "entries_to_adopt"
    assert [e["statement"] for e in caught.value.facts["entries"]] == [later.hex()]
    imported = hill.import_bundle(back.data, adopt=True)
    assert [a.message for a in imported.adopted] == [later]

    # What waited in the backup was logged meanwhile: it goes again, and gets its proof.
    assert post_round(post).logged == 1
    assert hill.status(waited).stage == "logged"
    post.write("HILL-2")
    assert post_round(post).logged == 1
    assert hill.halted is None
    assert [m.content.national_case_ref for m in post.belgium.inbox()] == ["HILL-0", "HILL-1", "HILL-2"]


def test_a_bundle_that_does_not_reach_the_end_of_sent_compares_nothing_yet(post, restored):
    backup, lose_and_restore = restored
    backup()
    post.write("HILL-1")
    post_round(post)
    hill = lose_and_restore()
    post.world.clock.advance(seconds=1)
    back = post.town.carry_bundle(hill.export_bundle().data)
    parsed = bundles.parse_bundle(back.data)
    kept = [i for i in parsed.items if "/sent?" not in i.target]
    assert not hill.import_bundle(resigned(post, back.data, items=kept), adopt=True).complete
    with pytest.raises(UncheckableError):
        hill.send("tracing-request", testing.sample_request("HILL-2"), to=[BELGIUM])
    assert len(post_round(post, adopt=True).adopted) == 1


async def test_bundles_on_an_event_loop(post):
    payload = post.write()
    async with post.world.async_client(post.town.profile) as town:
        back = await town.carry_bundle(post.hill.export_bundle().data)
    assert post.hill.import_bundle(back.data).logged == 1
    assert post.hill.status(payload).stage == "logged"


# --- what is deleted -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seen_before", [False, True])
def test_a_message_withdrawn_before_it_was_brought_is_done(post, seen_before):
    """The connected post signs for it and finds it deleted; the purge comes in the place of stanza and content."""
    sent = post.send_to_kenya()
    later = post.send_to_kenya("B-2")
    if seen_before:
        for box in (Box.ROUTINE, Box.URGENT):
            post.town._run(post.town._core.boxes.read_all(box))
    post.belgium.withdraw(sent)
    imported = post.round()
    assert imported.opened == 1
    assert [m.message for m in post.hill.inbox()] == [later.message]
    stages = {m.payload: m.stage for m in post.hill_profile.store.messages()}
    assert (stages[sent.message], stages[later.message]) == ("purged", "delivered")
    assert post.hill.export_bundle().wanted == 0
    assert (post.hill.halted, post.hill_profile.evidence) == (None, ())


def test_a_post_without_a_line_withdraws_what_it_sent(post):
    payload = post.write()
    post.round()
    with pytest.raises(TransportError) as caught:
        post.hill.withdraw(payload)
    assert caught.value.code == "cut_off"
    out = post.hill.export_bundle()
    assert (out.messages, out.receipts, out.withdrawals, out.left) == (0, 0, 1, 0)
    imported = post.hill.import_bundle(post.town.carry_bundle(out.data).data)
    assert (imported.logged, imported.refused) == (1, 0)
    assert post.hill.withdraw(payload).index is not None
    assert list(post.belgium.inbox()) == []
    assert post.world.broker.state.purges[payload] is not None
    for client in (post.hill, post.town):
        assert (client.halted, client.profile.evidence) == (None, ())
    post.town.sync_sent()
    assert post.town.halted is None


def test_a_bundle_carries_no_other_act(post):
    """What states that something is shown or looked at waits for a line; nor does a connected post post it."""
    payload = post.write()
    post.round()
    with pytest.raises(TransportError) as caught:
        post.hill.disclose(payload, "High Court, Nairobi", "case 12 of 2026")
    assert caught.value.code == "cut_off"
    assert all(item.kind != "act" for item in post.hill.outbox())
    data = post.hill_profile.store.messages()[0].document
    item = bundles.Item("/v1/acts", 0, data)
    with pytest.raises(MalformedError) as refused:
        check_item(item, KENYA, post.world.broker.origin)
    assert refused.value.code == "bundle_target"
