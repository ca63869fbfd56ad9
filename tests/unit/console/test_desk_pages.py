"""The desk's pages, told as a story between two agencies, without a browser and without a network."""

from __future__ import annotations

import io
import json
import re
import socket
import threading
import zipfile
from dataclasses import replace
from email.message import EmailMessage
from html import unescape
from pathlib import Path

from lxml import html
from PIL import Image

from countermark_client import testing
from countermark_console.agency_log.log import AgencyLog
from countermark_console.desk.duty import DutyMail, Hours, Relay, hand_over
from support.console_pair import BELGIUM, KENYA


def picture(colour="red", size=(640, 480)):
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "SECRET CAMERA"
    Image.new("RGB", size, colour).save(out, "JPEG", exif=exif)
    return out.getvalue()


def request_fields(case="NBI/2026-17"):
    """What an official types into the form of a tracing request."""
    return {
        "nationalCaseRef": case,
        "illicitBasis": "NATIONAL_LAW",
        "legalJustification": "Possession without a licence, Firearms Act s. 4.",
        "recovery.date": "2026-02-11",
        "recovery.place.country": "Kenya",
        "recovery.context": "SEIZED",
        "items.0.itemRef": "1",
        "items.0.category": "PISTOL",
        "items.0.originForm": "FACTORY",
        "items.0.make.text": "FN",
        "items.0.calibre.text": "9x19",
        "items.0.countryOfManufacture": "BE",
        "items.0.marks.0.kind": "SERIAL",
        "items.0.marks.0.component": "FRAME",
        "items.0.marks.0.text": "T 1052213",
        "items.0.marks.0.status": "LEGIBLE",
        "intendedUse": "CRIMINAL_INVESTIGATION",
        "confidentialityUndertaking.status": "ACCEPT",
        "reasonForAddressee": "MANUFACTURE_MARK",
        "priorSteps.domesticChecked": "true",
        "informationSought": "LAST_HOLDER",
        "contact.agency": "Firearms Bureau",
        "language": "en",
    }


def text_of(answer):
    return unescape(re.sub(r"<[^>]*>", " ", answer.text))


def compose(office, fields, photographs=()):
    """Write, as "dora": a tracing request up to its preview; the draft's id."""
    office.round()
    office.sign_in("dora")
    browser = office.browser
    browser.get("/compose")
    page = browser.post("/compose", type="tracing-request")
    name = page.url.path.rpartition("/")[2]
    page = browser.post(f"/drafts/{name}", act="next", **fields)
    assert page.url.path.endswith("/recipients"), text_of(page)
    for photograph in photographs:
        browser.get(f"/drafts/{name}")
        page = browser.post(
            f"/uploads/drafts/{name}/photographs",
            _files={"photographs": ("mark.jpg", photograph, "image/jpeg")},
        )
        assert page.status_code == 200, text_of(page)
    page = browser.get(f"/drafts/{name}/recipients")
    assert "be.contact.federal" in page.text  # suggested by the country of manufacture
    page = browser.post(
        f"/drafts/{name}/recipients", to="", suggested="be.contact.federal", urgency="routine"
    )
    assert page.url.path.endswith("/preview"), text_of(page)
    return name


def row_of(office, name):
    """The revision of a draft, as the page that was just looked at holds it."""
    [shown] = re.findall(r'name="revision" value="(\d+)"', office.browser.last.text)
    return shown


def test_a_trace_from_the_first_word_to_the_closed_case(kenya, belgium):
    browser = kenya.browser
    name = compose(kenya, request_fields(), [picture(), picture("blue")])
    row = kenya.desk.drafts.get(name)
    assert row.form["recovery"]["place"]["country"] == "KE"  # typed as a name
    preview = text_of(browser.last)
    for said in ("Allowed", "NBI/2026-17", "T 1052213", "Firearms Act", "What broker and auditors will see"):
        assert said in preview
    # Who wrote it does not release it, nor send it past the other.
    assert browser.post(f"/drafts/{name}/send").status_code == 403
    browser.get(f"/drafts/{name}/preview")
    assert browser.post(f"/drafts/{name}/submit").url.path == "/drafts"
    assert browser.post(f"/drafts/{name}/release").status_code == 403
    kenya.sign_in("rita")
    assert "Waiting for release" in text_of(browser.get("/drafts"))
    browser.get(f"/drafts/{name}/preview")
    page = browser.post(f"/drafts/{name}/release", revision=row_of(kenya, name))
    assert page.url.path.startswith("/cases/"), text_of(page)
    conversation = page.url.path.rpartition("/")[2]
    row = kenya.desk.drafts.get(name)
    assert (row.hands, row.released_by, row.state) == (("dora",), "rita", "sent")

    belgium.round()
    belgium.sign_in("dora")
    browser = belgium.browser
    assert "NBI/2026-17" in text_of(browser.get("/inbox"))
    assert "NBI/2026-17" in text_of(browser.get("/inbox?text=T+1052213&only=unread"))
    page = browser.get(f"/messages/{conversation}")
    assert "T 1052213" in text_of(page)
    assert page.text.count("/small") == 2
    small = browser.get(f"/messages/{conversation}/attachments/0/small")
    assert small.headers["content-type"] == "image/jpeg"
    file = browser.get(f"/messages/{conversation}/attachments/1")
    assert file.headers["content-disposition"].startswith("attachment")
    assert b"SECRET" not in file.content
    assert Image.open(io.BytesIO(file.content)).size == (640, 480)

    # Acknowledged in two clicks, answered, and seen at the other end.
    browser.get(f"/cases/{conversation}")
    page = browser.post(f"/messages/{conversation}/answer", way="acknowledge")
    answer = page.url.path.rpartition("/")[2]
    answered = finish(belgium, answer, {"contact.agency": "Contact point"})
    assert answered == conversation
    assert belgium.desk.shelf.get(conversation).stage == "accepted"  # who answers has taken it in
    case = belgium.desk.cases.get(conversation)
    assert (case.state, case.owner) == ("ACKNOWLEDGED", None)
    belgium.sign_in("dora")
    browser.get(f"/cases/{conversation}")
    page = browser.post(f"/messages/{conversation}/answer", way="refuse")
    final = page.url.path.rpartition("/")[2]
    page = browser.post(f"/drafts/{final}", act="next", **shown_fields(page))
    assert page.status_code == 400
    assert "Grounds" in text_of(page)  # a refusal without its ground is none
    fields = shown_fields(page) | {
        "itemResults.0.refusal.reasons": "ONGOING_INVESTIGATION",
        "itemResults.0.refusal.text": "A case is before the court.",
    }
    finish(belgium, final, fields)
    kenya.round()
    assert kenya.desk.cases.get(conversation).state == "REFUSED"

    kenya.sign_in("dora")
    browser = kenya.browser
    page = browser.get(f"/cases/{conversation}")
    assert "Answer to a trace" in text_of(page)
    page = browser.post(f"/cases/{conversation}/close", outcome="nothing")
    assert page.status_code == 400  # whether diversion was established must be said
    page = browser.post(f"/cases/{conversation}/close", outcome="nothing", diverted="no")
    assert "The case is closed" in text_of(page)
    assert kenya.desk.cases.get(conversation).status == "closed"

    for form, begins in (("pdf", b"%PDF"), ("json", b"{"), ("csv", b"\xef\xbb\xbf")):
        page = browser.get(f"/cases/{conversation}/export.{form}")
        assert page.content.startswith(begins)
    pdf = browser.get(f"/cases/{conversation}/export.pdf").content
    assert pdf.count(b"/Subtype /Image") == 2
    told = json.loads(browser.get(f"/cases/{conversation}/export.json").content)
    assert [m["manifest"]["type"] for m in told["messages"]] == [
        "tracing-request",
        "tracing-acknowledgement",
        "tracing-response",
    ]
    browser.get(f"/messages/{conversation}")
    evidence = browser.post(f"/messages/{conversation}/evidence")
    assert evidence.headers["content-disposition"].startswith("attachment")
    log: AgencyLog = kenya.console.log
    log.verify()
    done = [(entry.who, entry.what) for entry in reversed(log.entries(limit=200))]
    for act in (("dora", "draft-begun"), ("dora", "draft-submitted"), ("rita", "message-sent"),
                ("dora", "case-closed"), ("dora", "exported"), ("dora", "evidence-made")):  # fmt: skip
        assert act in done


def shown_fields(page):
    """What the form of a page would post."""
    out = {}
    [form] = html.fromstring(page.text).xpath("//form[@id='draft']")
    for name, value in form.form_values():
        if name not in {"form_token", "revision"}:
            out.setdefault(name, []).append(value.replace("\r\n", "\n").removeprefix("\n"))
    return {name: values[0] if len(values) == 1 else values for name, values in out.items()}


def finish(office, name, fields):
    """Fill in the rest of an answer as "dora", release it as "rita"; its conversation."""
    browser = office.browser
    page = browser.get(f"/drafts/{name}")
    page = browser.post(f"/drafts/{name}", act="next", **{**shown_fields(page), **fields})
    assert page.url.path.endswith("/recipients"), text_of(page)
    page = browser.post(f"/drafts/{name}/recipients", to="\n".join(office.desk.drafts.get(name).terms["to"]))
    assert page.url.path.endswith("/preview"), text_of(page)
    browser.post(f"/drafts/{name}/submit")
    office.sign_in("rita")
    browser.get(f"/drafts/{name}/preview")
    page = browser.post(f"/drafts/{name}/release", revision=row_of(office, name))
    assert page.url.path.startswith("/cases/"), text_of(page)
    return page.url.path.rpartition("/")[2]


def test_what_is_urgent_stands_out_and_comes_by_itself(kenya, belgium):
    belgium.sign_in("dora")
    browser = belgium.browser
    page = browser.get("/inbox")
    seen = int(re.search(r"seen=(\d+)", page.text)[1])
    assert browser.get(f"/live/inbox?seen={seen}").status_code == 204
    assert "urgent message" not in browser.get("/live/alerts").text
    assert browser.get("/live/alerts?shown=0").status_code == 204
    request = testing.sample_request("LIFE-1") | {"urgencyJustification": "A life is at risk."}
    kenya.console.vault.client.send("tracing-request", request, to=[BELGIUM], urgency="flash")
    kenya.console.vault.client.send("lost-or-stolen-notice", testing.sample_notice("N-1"), to=[BELGIUM])
    belgium.round()
    page = browser.get(f"/live/inbox?seen={seen}")
    assert "hx-swap-oob" in page.text
    assert "LIFE-1" in text_of(page)
    page = browser.get("/live/alerts?shown=0")
    assert "1 urgent message is waiting" in text_of(page)
    urgent = belgium.desk.shelf.urgent_unread()[0].hash
    browser.get(f"/messages/{urgent}")
    assert "urgent message" not in browser.get("/live/alerts").text
    for message in belgium.desk.shelf.page().messages:
        assert "Proof" in text_of(browser.get(f"/messages/{message.hash}"))
        assert browser.get(f"/cases/{message.conversation}").status_code == 200
    # Notices are accepted in bulk, and their senders told.
    browser.get("/inbox?only=open")
    page = browser.post("/inbox/accept", message=[m.hash for m in belgium.desk.shelf.page().messages])
    assert "2 messages are accepted" in text_of(page)
    kenya.round()
    assert [r["stage"] for m in kenya.desk.shelf.page().messages for r in m.receipts] == ["accepted"] * 2
    # A view is saved under a name, and found again.
    page = browser.post("/inbox/views?type=lost-or-stolen-notice&since=2020-01-01", view_name="Losses")
    assert "Losses" in text_of(page)
    assert "type=lost-or-stolen-notice&amp;since=2020-01-01" in page.text
    assert browser.post("/inbox/views?only=open", view_name="Losses").status_code == 400
    assert KENYA in text_of(page)


def test_a_draft_survives_and_hostile_files_do_not_come_in(kenya):
    kenya.sign_in("dora")
    browser = kenya.browser
    browser.get("/compose")
    name = browser.post("/compose", type="tracing-request").url.path.rpartition("/")[2]
    typed = {"nationalCaseRef": "HALF", "items.0.barrelLengthMm": "long"}
    assert "Kept at" in browser.post(f"/drafts/{name}/keep", revision="1", **typed).text
    kenya.round()
    kenya.sign_in("dora")  # another day, another browser
    page = browser.get(f"/drafts/{name}")
    assert shown_fields(page)["items.0.barrelLengthMm"] == "long"
    page = browser.post(f"/drafts/{name}", act="add:items.0.marks", **shown_fields(page))
    assert "items.0.marks.0" in shown_fields(page)
    page = browser.post(f"/drafts/{name}", act="remove:items.0.marks.0", **shown_fields(page))
    assert "items.0.marks.0" not in shown_fields(page)
    # What the page before said, late, changes nothing.
    assert browser.post(f"/drafts/{name}/keep", revision="1", nationalCaseRef="OLD").status_code == 204
    page = browser.get(f"/drafts/{name}")
    assert kenya.desk.drafts.get(name).form["nationalCaseRef"] == "HALF"
    page = browser.post(f"/drafts/{name}", act="next", **shown_fields(page))
    assert page.status_code == 400
    assert 'href="#items.0.barrelLengthMm"' in page.text
    for content in (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", b"\xff\xd8\xff broken",
                    b"MZ", b"GIF89a" + b"\0" * 20, b""):  # fmt: skip
        browser.get(f"/drafts/{name}")
        page = browser.post(
            f"/uploads/drafts/{name}/photographs", _files={"photographs": ("x.jpg", content, "image/jpeg")}
        )
        assert page.status_code == 400, content
    assert kenya.desk.drafts.photographs(name) == ()
    browser.post(f"/drafts/{name}/discard")
    assert browser.get(f"/drafts/{name}").status_code == 404
    assert browser.get("/lookup/countries?name=x&x=ken").text.count("<option") == 1
    assert "be.contact.federal" in browser.get("/lookup/endpoints?name=e&e=be.").text


def test_a_message_opens_before_its_case_is_filed(kenya, belgium, monkeypatch):
    kenya.console.vault.client.send("lost-or-stolen-notice", testing.sample_notice("N-2"), to=[BELGIUM])
    with monkeypatch.context() as cut:
        cut.setattr(
            belgium.desk.receiving, "follow", lambda *_: None
        )  # many are received before any is filed
        belgium.round()
    belgium.sign_in("dora")
    [message] = belgium.desk.shelf.page().messages
    assert belgium.desk.cases.find(message.conversation) is None
    page = belgium.browser.get(f"/messages/{message.hash}")
    assert page.status_code == 200, text_of(page)
    assert "N-2" in text_of(page)


def test_what_stands_against_a_recipient_is_told_before_it_is_sent(kenya, belgium):
    """Not the policy: its key is revoked. The button is dead, and what to do stands above it."""
    name = compose(kenya, request_fields())
    keys = belgium.world.keystore(BELGIUM)
    sealing = keys.sealing_key().public_key.key_id
    belgium.world.broker.post_statement(belgium.world.revoke(sealing, keys.signer("administrator")))
    kenya.round()
    page = kenya.browser.get(f"/drafts/{name}/preview")
    assert f"{BELGIUM}: its sealing key is revoked; ask it to publish a new sealing key" in text_of(page)
    assert "There is a problem" in text_of(page)
    assert '<button class="govuk-button" disabled' in page.text


def test_where_the_policy_demands_it_a_second_key_signs_at_release(pair_world, kenya, belgium, tmp_path):
    keys = pair_world.add_instance(KENYA, "rita")
    pair_world.profile(KENYA, folder=kenya.console.settings.home / "second", keystore=keys).close()
    name = compose(kenya, request_fields(), [picture()])
    browser = kenya.browser
    browser.get(f"/drafts/{name}/recipients")
    page = browser.post(
        f"/drafts/{name}/recipients",
        to=BELGIUM,
        urgency="routine",
        classification="CONFIDENTIAL",
        tlp="AMBER",
    )
    assert page.url.path.endswith("/preview"), text_of(page)
    browser.post(f"/drafts/{name}/submit")
    assert kenya.desk.drafts.get(name).signed is not None
    assert (kenya.console.settings.home / "drafts" / name).is_dir()  # the photographs' sealed pieces wait too
    kenya.sign_in("rita")
    assert "A second key must sign this" in text_of(browser.get(f"/drafts/{name}/preview"))
    assert browser.post(f"/drafts/{name}/release", revision=row_of(kenya, name)).status_code == 400
    # Signed elsewhere: what is downloaded holds the draft and, beside it, the files that its signer looks at.
    with zipfile.ZipFile(io.BytesIO(browser.get(f"/drafts/{name}/signed").content)) as archive:
        archive.extractall(tmp_path / "elsewhere")
    [draft] = (tmp_path / "elsewhere").glob("*.draft")
    with pair_world.client(pair_world.profile(KENYA, keystore=keys)) as elsewhere:
        elsewhere.sync()
        signed = elsewhere.sign_message_draft(draft.read_bytes(), draft.with_name(draft.name + ".files"))
        assert not elsewhere.read_message_draft(signed).missing
    # Where the second holder's profile is at this console, its passphrase is typed for this one signature.
    object.__setattr__(
        kenya.console,
        "settings",
        kenya.console.settings.model_copy(update={"release_profile": Path("second")}),
    )
    browser.get(f"/drafts/{name}/preview")
    assert "does not open the second key" in text_of(
        browser.post(f"/drafts/{name}/release", revision=row_of(kenya, name), passphrase="wrong")
    )
    page = browser.post(
        f"/drafts/{name}/release", revision=row_of(kenya, name), passphrase=testing.PASSPHRASE
    )
    assert page.url.path.startswith("/cases/"), text_of(page)
    [came] = belgium.round()
    assert [one["purpose"] for one in came.facts["signed_by"]] == ["sign", "release"]
    assert {one["holder"] for one in came.facts["signed_by"]} == {"one", "rita"}
    assert len(came.facts["attachments"]) == 1
    assert not (kenya.console.settings.home / "drafts" / name).exists()


def test_the_duty_officer_is_told_out_of_hours_and_of_nothing(pair_world, kenya, belgium, tmp_path):
    mails = []
    relay = Relay(
        "127.0.0.1", 25, "none", "", "", "console@example.org", "duty@example.org", "https://c.example"
    )
    told = []
    duty = DutyMail(
        belgium.console.database,
        relay,
        None,
        pair_world.clock,
        told.extend,
        lambda _relay, mail: mails.append(mail),
    )
    belgium.desk._duty = duty
    kenya.round()
    request = testing.sample_request("HUSH-7") | {"urgencyJustification": "A life is at risk."}
    sent = kenya.console.vault.client.send("tracing-request", request, to=[BELGIUM], urgency="urgent")
    kenya.console.vault.client.send("lost-or-stolen-notice", testing.sample_notice(), to=[BELGIUM])
    [entry] = [one for one in belgium.round() if one.urgent]
    [mail] = mails
    said = mail.as_string()
    assert "https://c.example" in said
    for secret in ("HUSH-7", KENYA, sent.hash, "tracing", "pistol", "Nairobi"):
        assert secret.lower() not in said.lower()
    assert told == [sent.hash]
    assert duty.tell([entry]) is False  # once
    watched = Hours("Africa/Nairobi", frozenset(range(1, 8)), "00:00", "23:59")
    assert DutyMail(belgium.console.database, relay, watched, pair_world.clock).tell([entry]) is False

    def away(_relay, _mail):
        raise OSError("away")

    other = replace(entry, hash="0" * 64)
    assert DutyMail(belgium.console.database, relay, None, pair_world.clock, post=away).tell([other]) is False


def test_mails_go_to_a_relay_by_smtp(tmp_path):
    said = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        relaying = threading.Thread(target=take_mail, args=(server, said))
        relaying.start()
        relay = Relay(
            "127.0.0.1", server.getsockname()[1], "none", "", "", "a@example.org", "b@example.org", ""
        )
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = relay.sender, relay.to, "urgent"
        mail.set_content("look")
        hand_over(relay, mail)
        relaying.join(10)
    assert "rcpt to:<b@example.org>" in [line.lower() for line in said]
    assert "look" in said


def take_mail(server, said):
    """A mail relay that takes one mail."""
    connection, _ = server.accept()
    with connection, connection.makefile("rw", newline="\r\n") as talk:

        def answer(text):
            talk.write(f"{text}\n")
            talk.flush()

        answer("220 ready")
        for line in talk:
            said.append(line.strip())
            if line.upper().startswith("DATA"):
                answer("354 go on")
                for text in talk:
                    said.append(text.strip())
                    if text.strip() == ".":
                        break
            if line.upper().startswith("QUIT"):
                answer("221 bye")
                return
            answer("250 ok")


def test_what_is_released_is_what_the_releaser_was_shown(kenya, belgium):
    name = compose(kenya, request_fields())
    browser = kenya.browser
    browser.post(f"/drafts/{name}/submit")
    kenya.sign_in("rita")
    browser.get(f"/drafts/{name}/preview")
    shown = row_of(kenya, name)
    # Its author takes it back meanwhile, writes something else and hands it over again.
    kenya.sign_in("dora")
    browser.get(f"/drafts/{name}/preview")
    browser.post(f"/drafts/{name}/withdraw")
    browser.post(f"/drafts/{name}", act="next", **request_fields("NBI/2026-99"))
    browser.post(f"/drafts/{name}/recipients", to="", suggested="be.contact.federal", urgency="routine")
    browser.post(f"/drafts/{name}/submit")
    kenya.sign_in("rita")
    browser.get("/drafts")
    page = browser.post(f"/drafts/{name}/release", revision=shown)
    assert page.status_code == 400
    assert "read it once more" in text_of(page)
    assert "NBI/2026-99" in text_of(page)
    assert kenya.desk.drafts.get(name).state == "waiting"
    assert not belgium.round()
    assert browser.post(f"/drafts/{name}/release").status_code == 400  # nor one that names none
    page = browser.post(f"/drafts/{name}/release", revision=kenya.desk.drafts.get(name).revision)
    assert page.url.path.startswith("/cases/"), text_of(page)


def test_who_says_what_a_photograph_shows_has_written_in_the_draft(kenya):
    name = compose(kenya, request_fields(), [picture()])
    [photograph] = kenya.desk.drafts.photographs(name)
    kenya.desk.drafts.describe_photograph(name, "rita", photograph.id, "the serial", 0)
    assert kenya.desk.drafts.get(name).hands == ("dora", "rita")
    kenya.desk.drafts.remove_photograph(name, "rob", photograph.id)
    assert kenya.desk.drafts.get(name).hands == ("dora", "rita", "rob")


def test_of_a_message_to_many_one_line_counts_and_each_is_unfolded(kenya, belgium, monkeypatch):
    kenya.console.vault.client.send("lost-or-stolen-notice", testing.sample_notice("N-3"), to=[BELGIUM])
    kenya.round()
    [sent] = kenya.desk.shelf.page().messages
    [known] = sent.receipts
    stages = [("accepted", None)] * 4 + [
        ("rejected", None),
        ("delivered", None),
        ("open", None),
        ("open", 17),
    ]
    receipts = tuple(
        {
            **known,
            "recipient": f"be.customs.desk-{i}",
            "stage": stage,
            "undelivered": missed,
            "delivered_at": 1,
        }
        for i, (stage, missed) in enumerate(stages)
    )
    many = replace(sent, receipts=receipts, recipients=tuple(one["recipient"] for one in receipts))
    monkeypatch.setattr(kenya.desk.shelf, "get", lambda _: many)
    kenya.sign_in("dora")
    shown = text_of(kenya.browser.get(f"/messages/{sent.hash}"))
    assert "8 recipients" in shown
    said = "6 of 8 recipients have signed for it; 4 accepted it, 1 rejected it; 1 did not collect it in time."
    assert said in shown
    for each in ("be.customs.desk-4 signed for it on", "be.customs.desk-6: not collected yet",
                 "be.customs.desk-7 did not collect it in time"):  # fmt: skip
        assert each in shown


def test_a_message_of_ones_own_is_withdrawn_and_corrected_from_its_page(kenya, belgium):
    kenya.console.vault.client.send("lost-or-stolen-notice", testing.sample_notice("N-4"), to=[BELGIUM])
    kenya.round()
    [sent] = kenya.desk.shelf.page().messages
    kenya.sign_in("dora")
    browser = kenya.browser
    page = browser.get(f"/messages/{sent.hash}")
    assert "Correct it" in text_of(page)
    page = browser.post(f"/messages/{sent.hash}/answer", way="correct")
    assert kenya.desk.drafts.get(page.url.path.rpartition("/")[2]).form["message"] == sent.hash
    browser.get(f"/messages/{sent.hash}")
    page = browser.post(f"/messages/{sent.hash}/answer", way="withdraw")
    said = {"ground": "SENT_IN_ERROR", "reason": "Entered twice.", "followUp": "DELETE_COPIES"}
    assert finish(kenya, page.url.path.rpartition("/")[2], said) == sent.conversation
    belgium.round()
    assert [m.type for m in belgium.desk.shelf.conversation(sent.conversation)] == [
        "lost-or-stolen-notice",
        "withdrawal",
    ]
    belgium.sign_in("dora")
    withdrawal = belgium.desk.shelf.conversation(sent.conversation)[-1]
    page = belgium.browser.get(f"/messages/{withdrawal.hash}")
    assert "Entered twice." in text_of(page)
    assert "Correct it" not in text_of(page)


def test_who_cannot_get_a_message_is_left_out_by_name_alone(kenya, belgium):
    keys = belgium.world.keystore(BELGIUM)
    sealing = keys.sealing_key().public_key.key_id
    belgium.world.broker.post_statement(belgium.world.revoke(sealing, keys.signer("administrator")))
    kenya.round()
    kenya.sign_in("dora")
    browser = kenya.browser
    name = kenya.desk.begin("lost-or-stolen-notice", "dora", form=testing.sample_notice("N-5"))
    browser.get(f"/drafts/{name}/recipients")
    both = f"{BELGIUM}\n{KENYA}"
    page = browser.post(f"/drafts/{name}/recipients", to=both, urgency="routine")
    assert f"{BELGIUM}: its sealing key is revoked" in text_of(page)
    browser.get(f"/drafts/{name}/recipients")
    page = browser.post(f"/drafts/{name}/recipients", to=both, leave_out=BELGIUM, urgency="routine")
    assert page.url.path.endswith("/preview"), text_of(page)
    assert "Left out" in text_of(page)
    assert "There is a problem" not in text_of(page)
    browser.post(f"/drafts/{name}/submit")
    kenya.sign_in("rita")
    browser.get(f"/drafts/{name}/preview")
    page = browser.post(f"/drafts/{name}/release", revision=row_of(kenya, name))
    assert page.url.path.startswith("/cases/"), text_of(page)
    sent = kenya.desk.shelf.get(kenya.desk.drafts.get(name).message)
    assert sent.recipients == (KENYA,)
