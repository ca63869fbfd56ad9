"""Officials of two agencies at their consoles, beside one broker: a trace, an urgent alert, a hostile message."""

import contextlib
import io
import time
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageDraw

from countermark_console.people.roles import Role
from message_examples import example
from support.chromium import ServedConsole, opened

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.national"
MARK = '<script>window.hostile = 1</script><img src=x onerror="window.hostile = 2">'


def photograph(path, text):
    """A picture of a mark, as a camera would make it."""
    picture = Image.new("RGB", (900, 600), "#8a8f94")
    ImageDraw.Draw(picture).text((80, 250), text, fill="#22262a", font_size=90)
    picture.save(path, "JPEG", quality=90)
    return path


@contextlib.contextmanager
def served(world, address, home):
    """The console of an agency of the world, with officials who write and who release."""
    client = world.clients.pop(address, None)
    if client is not None:
        client.close()
        client.profile.close()
    console = ServedConsole(home, profile=world.root / "agencies" / address)
    try:
        console.console.vault.unlock(world.passphrase)
        console.add("amina", "Amina Otieno", {Role.DRAFTS})
        console.add("jonas", "Jonas Peeters", {Role.RELEASES})
        yield console
    finally:
        console.close()


@contextlib.contextmanager
def official(chromium, console, name, **options):
    """Somebody at a browser, signed in."""
    with opened(chromium, **options) as page:
        console.sign_in(page, name)
        yield page


def until(true):
    """Wait for what another thread does."""
    for _ in range(200):
        if true():
            return
        time.sleep(0.1)
    pytest.fail("it did not come")


def release(chromium, console, shoot=None):
    """A second official releases what waits."""
    with official(chromium, console, "jonas") as page:
        page.goto(f"{console.url}/drafts")
        page.locator(".cm-item__title a").first.click()
        page.get_by_role("button", name="Release and send").wait_for()
        if shoot is not None:
            shoot(page, "desk-7-release")
        page.get_by_role("button", name="Release and send").click()
        page.get_by_role("heading", name="What happened").wait_for()


def hand_over(page):
    """From the preview on, by who wrote it."""
    page.get_by_role("button", name="Hand over for release").click()
    page.get_by_text("The draft is handed over").wait_for()


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    return tmp_path_factory.mktemp("desks")


@pytest.fixture(scope="module")
def kenya(console_world, homes):
    with served(console_world, KENYA, homes / "kenya") as console:
        yield console


@pytest.fixture(scope="module")
def belgium(console_world, homes):
    with served(console_world, BELGIUM, homes / "belgium") as console:
        yield console


def fill_request(page):
    """A tracing request about one pistol."""
    page.locator("[id='nationalCaseRef']").fill("NBI/CR/0417/2026")
    page.get_by_label("National law").first.check()
    page.locator("[id='legalJustification']").fill(
        "Possession without a licence, Firearms Act (Cap. 114) s. 4."
    )
    page.locator("details:has([id='recovery.date']) > summary").first.click()
    page.locator("[id='recovery.date']").fill("2026-02-11")
    page.locator("[id='recovery.place.country']").press_sequentially("Keny")
    page.locator("[id='recovery.place.country-list'] option[value=KE]").wait_for(state="attached")
    page.locator("[id='recovery.place.country']").fill("Kenya")
    page.locator("[id='recovery.context']").select_option("SEIZED")
    page.locator("[id='items.0.category']").select_option("PISTOL")
    page.locator("[id='items.0.originForm']").select_option("FACTORY")
    page.locator("[id='items.0.make.text']").fill("FN")
    page.locator("[id='items.0.calibre.text']").fill("9x19")
    page.get_by_role("button", name="Add Its marks").click()
    page.locator("[id='items.0.marks.0.kind']").select_option("SERIAL")
    page.locator("[id='items.0.marks.0.component']").select_option("FRAME")
    page.locator("[id='items.0.marks.0.status']").select_option("LEGIBLE")
    page.locator("details:has([id='items.0.marks.0.text']) > summary").last.click()
    page.locator("[id='items.0.marks.0.text']").fill("T 1052213")
    page.locator("details:has([id='items.0.countryOfManufacture']) > summary").first.click()
    page.locator("[id='items.0.countryOfManufacture']").fill("Belgium")
    page.get_by_label("Criminal investigation").check()
    page.locator("[id='confidentialityUndertaking.status']").get_by_label("Accept").check()
    page.locator("[id='reasonForAddressee']").select_option("MANUFACTURE_MARK")
    page.locator("[id='priorSteps.domesticChecked']").get_by_label("Yes").check()
    page.get_by_label("Last holder").check()
    page.locator("[id='contact.agency']").fill("Firearms Bureau, Nairobi")
    page.locator("[id='language']").fill("English")


def test_a_trace_with_two_photographs(chromium, kenya, belgium, tmp_path, shoot):
    with official(chromium, kenya, "amina") as page:
        page.get_by_role("link", name="Drafts").click()
        page.get_by_role("button", name="Write a message").click()
        shoot(page, "desk-1-compose")
        page.get_by_role("button", name="Tracing request").click()
        fill_request(page)
        # The browser is closed, and nothing is lost that was kept.
        address = page.url.partition("#")[0]
        drafts = kenya.console.desk.drafts
        name = urlsplit(address).path.rpartition("/")[2]
        until(lambda: drafts.get(name).form.get("language") == "en")
    with official(chromium, kenya, "amina") as page:
        page.goto(address)
        assert page.locator("[id='items.0.marks.0.text']").input_value() == "T 1052213"
        assert page.locator("[id='recovery.place.country']").input_value() == "KE"
        files = [photograph(tmp_path / f"mark-{n}.jpg", f"T 1052213 / {n}") for n in (1, 2)]
        page.get_by_label("Drop photographs here").set_input_files(files)
        page.get_by_role("button", name="Add the photographs").click()
        page.locator(".cm-photo__image").nth(1).wait_for()
        page.get_by_label("What it shows").first.fill("Serial on the left of the frame")
        page.locator(".cm-photo").first.get_by_role("button", name="Save").click()
        shoot(page, "desk-2-form")
        page.get_by_role("button", name="Go on: recipients").click()
        page.get_by_role("heading", name="Tracing request").wait_for()
        shoot(page, "desk-3-recipients")
        page.get_by_label(BELGIUM).check()
        page.get_by_role("button", name="Go on: preview").click()
        page.get_by_role("heading", name="What broker and auditors will see").wait_for()
        shoot(page, "desk-4-preview")
        hand_over(page)
        shoot(page, "desk-5-drafts")
    release(chromium, kenya, shoot)

    with official(chromium, belgium, "amina") as page:
        page.goto(f"{belgium.url}/inbox")
        page.get_by_role("link", name="NBI/CR/0417/2026").wait_for()
        shoot(page, "desk-8-inbox")
        page.get_by_role("link", name="NBI/CR/0417/2026").click()
        page.get_by_text("T 1052213").first.wait_for()
        assert page.locator(".cm-photo__image").evaluate_all(
            "all => all.every(i => i.complete && i.naturalWidth > 0)"
        )
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save the file").first.click()
        assert Image.open(io.BytesIO(saved.value.path().read_bytes())).size == (900, 600)
        shoot(page, "desk-9-message")
        # Two clicks: the right form, filled in, and on.
        page.get_by_role("button", name="Acknowledge").click()
        page.locator("[id='contact.agency']").fill("National point of contact")
        page.get_by_role("button", name="Go on: recipients").click()
        page.get_by_role("button", name="Go on: preview").click()
        hand_over(page)
    release(chromium, belgium)
    with official(chromium, belgium, "amina") as page:
        page.goto(f"{belgium.url}/cases")
        page.get_by_role("link", name="NBI/CR/0417/2026").click()
        page.get_by_role("button", name="Final answer").click()
        page.locator("[id='itemResults.0.outcome']").select_option("NO_RECORD")
        page.locator("details:has([id='itemResults.0.inability.reason']) > summary").first.click()
        page.locator("[id='itemResults.0.inability.reason']").select_option("NO_RECORDS")
        page.locator("[id='itemResults.0.inability.text']").fill("No such pistol stands in the register.")
        page.get_by_role("button", name="Go on: recipients").click()
        page.get_by_role("link", name="An answer that there is no record states how long").click()
        shoot(page, "desk-13-problem")
        page.locator("[id='itemResults.0.inability.retention.basis']").fill("Weapons Act 2006, art. 11")
        page.locator("details:has([id='itemResults.0.inability.retention.years']) > summary").last.click()
        page.locator("[id='itemResults.0.inability.retention.years']").fill("20")
        page.get_by_role("button", name="Go on: recipients").click()
        page.get_by_role("button", name="Go on: preview").click()
        hand_over(page)
    release(chromium, belgium)

    with official(chromium, kenya, "amina") as page:
        page.goto(f"{kenya.url}/cases")
        page.get_by_text("Close it, and say whether").wait_for()
        shoot(page, "desk-10-cases")
        page.get_by_role("link", name="NBI/CR/0417/2026").click()
        page.get_by_label("Add a note").fill("Register of the maker is asked next.")
        page.get_by_role("button", name="Keep the note").click()
        page.locator("#diverted").get_by_label("No", exact=True).check()
        page.get_by_label("What came of it").fill("No record at the maker's State.")
        page.get_by_role("button", name="Close the case").click()
        page.get_by_text("The case is closed").wait_for()
        shoot(page, "desk-11-case")
        with page.expect_download() as saved:
            page.get_by_role("link", name="PDF, to be printed").click()
        assert saved.value.path().read_bytes().startswith(b"%PDF")
    kenya.console.log.verify()
    belgium.console.log.verify()


def test_an_urgent_alert_comes_live_and_a_hostile_message_does_nothing(chromium, kenya, belgium, shoot):
    request = example("tracing-request", 2)
    request["nationalCaseRef"] = "<b>URGENT</b>"
    request["recovery"]["place"] = {"country": "KE", "name": MARK[:200]}
    request["legalJustification"] = MARK
    request["urgencyJustification"] = "A life is at risk."
    with official(chromium, belgium, "amina") as page:
        page.goto(f"{belgium.url}/inbox")
        page.get_by_role("heading", name="Inbox").wait_for()
        page.evaluate("window.stayed = true")
        kenya.console.vault.client.send("tracing-request", request, to=[BELGIUM], urgency="flash")
        page.locator(".cm-alerts__title").wait_for()
        page.locator("#messages .cm-item--urgent").first.wait_for()
        assert page.evaluate("window.stayed")  # nothing was loaded anew
        shoot(page, "desk-12-urgent")
        page.goto(f"{belgium.url}/")
        shoot(page, "home")
        page.locator("button[value=ar]").click()
        page.locator("html[dir=rtl]").wait_for()
        page.goto(f"{belgium.url}/compose")
        page.get_by_role("button", name="طلب تعقب").click()
        page.locator("[id='nationalCaseRef']").wait_for()
        shoot(page, "desk-2-form-arabic")
        page.locator("button[value=en]").click()
        page.goto(f"{belgium.url}/inbox")
        page.locator(".cm-alerts__link").first.click()
        page.get_by_role("heading", name="Proof").wait_for()
        assert MARK in page.locator(".cm-content").inner_text()
        assert page.evaluate("window.hostile") is None
        assert page.locator(".cm-content img, .cm-content script, .cm-content b").count() == 0
