"""Headless Chromium of Debian, driven by Playwright; and consoles that serve it on ports of their own, beside a broker.

Without Chromium these tests are listed as NOT RUN; under CI they fail (`support.tools`).
"""

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from demo.world import found, govern, serving
from PIL import Image
from playwright.sync_api import sync_playwright

from countermark_client import Client
from countermark_console.app import create_app
from countermark_console.config import Settings
from countermark_console.console import Console
from countermark_console.people.second_factor import code_now
from support.console import PASSWORD
from support.tools import tool

#: Fonts that look the same on every machine with the package fonts-noto-core.
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <match target="pattern">
    <test name="family"><string>system-ui</string></test>
    <edit name="family" mode="assign" binding="same"><string>Noto Sans</string></edit>
  </match>
</fontconfig>
"""
SCREENSHOTS = Path(__file__).resolve().parents[2] / "docs" / "console"
#: Two agencies of one State and one of another.
CAST = {
    "ke": ("Kenya (exercise)", {"ke.police.nairobi": "Firearms Bureau, Nairobi"}),
    "be": ("Belgium (exercise)", {"be.contact.national": "National point of contact"}),
}
#: What axe calls these must not be found.
SERIOUS = {"serious", "critical"}


class MovableClock:
    """The machine's clock, which a test sets forward: a code of a second factor is good for once."""

    def __init__(self):
        self.ahead = 0

    def __call__(self):
        return time.time_ns() // 1_000_000 + self.ahead


class ServedConsole:
    """A console on a port of its own, in a thread.

    Attributes:
        console: what it serves.
        url: where.
        secrets: of second factors, by account.
    """

    def __init__(self, home, **settings):
        self.clock = MovableClock()
        self.console = Console.open(Settings(home=home, **settings), self.clock)
        self.secrets = {}
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(create_app(self.console), log_level="warning", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        self.console.start()

    def close(self):
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()
        self.console.close()

    def code(self, name):
        """The next code of somebody's authenticator."""
        self.clock.ahead += 60_000
        return code_now(self.secrets[name], self.clock())

    def add(self, name, full_name, roles, password=PASSWORD):
        """An account whose second factor is set up."""
        person = self.console.people.add("console", name, full_name, roles, password=password)
        self.secrets[name] = os.urandom(20)
        self.console.people.set_totp(person, self.secrets[name], code_now(self.secrets[name], self.clock()))
        return person

    def sign_in(self, page, name, password=PASSWORD):
        """Sign in as a person does."""
        page.goto(f"{self.url}/sign-in")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Continue").click()
        page.get_by_label("Code from your authenticator").fill(self.code(name))
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.wait_for_url(f"{self.url}/")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """The browser, for one module: while its driver runs, no other test of the process can run an event loop."""
    path = tool("chromium", "Debian package chromium", "/usr/bin/chromium")
    fonts = tmp_path_factory.mktemp("fonts") / "fonts.conf"
    fonts.write_text(FONTS)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path,
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
            env={**os.environ, "FONTCONFIG_FILE": str(fonts)},
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(chromium, *, width=1440, height=900, dark=False, language="en-GB", **options):
    """A page of a browser without history. What it reports as an error fails the test."""
    context = chromium.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        locale=language,
        reduced_motion="reduce",
        **options,
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if _is_defect(said) else None)
    try:
        yield page
        assert wrong == []
    finally:
        context.close()


#: What Chromium and htmx tell of an answer that was 4xx, and of a question that was dropped with its page.
_NO_DEFECT = ("Failed to load resource", "htmx:afterRequest", "htmx:sendError", "htmx:sendAbort")


def _is_defect(said):
    return said.type == "error" and not any(text in said.text for text in _NO_DEFECT)


def check_accessible(page):
    """Nothing that axe calls serious, by the rules of WCAG 2.2 AA."""
    found = (
        Axe()
        .run(
            page,
            options={
                "runOnly": {
                    "type": "tag",
                    "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
                },
                "resultTypes": ["violations"],
            },
        )
        .response["violations"]
    )
    bad = [
        f"{v['id']}: {v['help']}: {[n['html'][:160] for n in v['nodes'][:3]]}"
        for v in found
        if v["impact"] in SERIOUS
    ]
    assert bad == [], f"{page.url}\n" + "\n".join(bad)


def check_fits(page):
    """Nothing sticks out at the side."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{page.url}: {wide} pixels too wide"


@pytest.fixture
def shoot(request):
    """Check a page in a size and colours, and take its picture: `shoot(page, name)`.

    COUNTERMARK_SCREENSHOTS says how: nothing, one size in light colours, as in `make test`; ``all``, the two sizes in
    both colours, as in `make test-long`; ``keep``, all of them, written to docs/console.
    """
    wanted = os.environ.get("COUNTERMARK_SCREENSHOTS", "")
    keep = wanted == "keep"
    folder = SCREENSHOTS if keep else request.getfixturevalue("tmp_path")

    def take(page, name):
        before = page.viewport_size
        for width, dark in ((1440, False), (1440, True), (360, False), (360, True)):
            if (width, dark) != (1440, False) and wanted not in {"all", "keep"}:
                continue
            page.set_viewport_size({"width": width, "height": 900 if width > 1000 else 740})
            page.emulate_media(color_scheme="dark" if dark else "light")
            check_accessible(page)
            check_fits(page)
            path = folder / f"{name}-{width}-{'dark' if dark else 'light'}.png"
            page.screenshot(path=path, full_page=True)
            if keep:  # few colours: a quarter of the size, and no difference to be seen
                with Image.open(path) as picture:
                    picture.convert("RGB").quantize(96).save(path, optimize=True)
        page.set_viewport_size(before)
        page.emulate_media(color_scheme="light")

    return take


@pytest.fixture(scope="session")
def console_world(tmp_path_factory):
    """A log with a real broker beside it, two authorities, and an endpoint of each (`CAST`)."""
    world = found(tmp_path_factory.mktemp("consoles") / "world")
    with serving(world):
        govern(world, CAST)
        yield world
        world.close()


@contextlib.contextmanager
def authority(world, code):
    """The client of an authority."""
    client = Client.open(world.root / "authorities" / code, world.passphrase)
    try:
        yield client
    finally:
        client.close()
