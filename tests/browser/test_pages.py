"""The pages that every console has: looked at in a browser, used by keyboard, in both directions of writing."""

from contextlib import closing

import pytest

from countermark_console.people.roles import Role
from support.chromium import ServedConsole, opened


@pytest.fixture
def served(tmp_path):
    with closing(ServedConsole(tmp_path / "home")) as made:
        made.add("a.otieno", "Amina Otieno", {Role.ADMINISTRATOR, Role.DRAFTS})
        made.add("j.mwangi", "Jane Mwangi", {Role.DRAFTS})
        made.add("p.kamau", "Peter Kamau", {Role.RELEASES})
        made.console.people.add(
            "a.otieno", "o.audit", "Office of the Auditor-General", {Role.AUDITOR}, external="auditor-17"
        )
        yield made


def look_at_all(served, page, shoot):
    page.goto(f"{served.url}/sign-in")
    shoot(page, "sign-in")
    page.get_by_label("Name").fill("a.otieno")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("heading", name="There is a problem").wait_for()
    shoot(page, "sign-in-refused")
    served.sign_in(page, "a.otieno")
    for path, name in (
        ("/account", "account"),
        ("/people", "people"),
        ("/people/add", "people-add"),
        ("/people/2", "person"),
        ("/agency-log", "agency-log"),
        ("/keys", "keys"),
        ("/nowhere", "not-found"),
    ):
        page.goto(served.url + path)
        shoot(page, name)


def test_every_page_is_accessible_and_fits(chromium, served, shoot):
    with opened(chromium) as page:
        look_at_all(served, page, shoot)


def test_signed_in_by_keyboard_alone_in_arabic_and_dark(chromium, served, shoot):
    with opened(chromium, language="ar") as page:
        page.goto(f"{served.url}/sign-in")
        assert page.locator("html").get_attribute("dir") == "rtl"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "govuk-skip-link"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Tab")
        page.keyboard.type("j.mwangi")
        page.keyboard.press("Tab")
        page.keyboard.type("seven brown otters swim")
        shoot(page, "sign-in-arabic")
        page.keyboard.press("Enter")
        page.wait_for_url("**/sign-in/code**")
        page.locator("#code").focus()
        page.keyboard.type(served.code("j.mwangi"))
        page.keyboard.press("Enter")
        page.wait_for_url(f"{served.url}/")
        page.goto(f"{served.url}/account")
        shoot(page, "account-arabic")

        page.locator("button[value=dark]").click()
        page.locator("html[data-theme=dark]").wait_for()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"
        page.locator("button[value=fr]").click()
        page.locator("html[lang=fr][dir=ltr]").wait_for()
        page.goto(f"{served.url}/keys")
        assert page.locator("html").get_attribute("lang") == "fr"
        assert page.locator("html").get_attribute("data-theme") == "dark"


def test_on_a_telephone_the_menu_opens_and_leads_on(chromium, served):
    with opened(chromium, width=360, height=740) as page:
        served.sign_in(page, "a.otieno")
        page.get_by_role("button", name="Menu").click()
        page.get_by_role("link", name="People").click()
        page.get_by_role("heading", name="People").wait_for()
