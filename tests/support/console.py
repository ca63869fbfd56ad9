"""A console without a network: opened in a folder of its own, with a clock that tests move, and a browser without pages."""

import asyncio
import re
from dataclasses import dataclass

import httpx
import pytest

from countermark_console.app import create_app
from countermark_console.config import Settings
from countermark_console.console import Console
from countermark_console.people.roles import Role
from countermark_console.people.second_factor import code_now

ORIGIN = "http://127.0.0.1:8440"
PASSWORD = "seven brown otters swim"
START = 1_800_000_000_000


@dataclass
class Clock:
    """A clock that stands still until moved."""

    now: int = START

    def __call__(self):
        return self.now

    def pass_(self, ms):
        self.now += ms


class Browser:
    """What a person's browser sends: cookies, origin, and the token of the page that was last seen."""

    def __init__(self, console, clock):
        self.console = console
        self.clock = clock
        self.app = create_app(console)
        self.cookies = httpx.Cookies()
        self.headers = {}
        self.last = None
        self.secrets = {}

    def request(self, method, path, **options):
        """One request, redirects followed; the last answer."""

        async def ask():
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url=ORIGIN, cookies=self.cookies, follow_redirects=True
            ) as http:
                http.headers.update(self.headers)
                answer = await http.request(method, path, **options)
                self.cookies = http.cookies
                return answer

        self.last = asyncio.run(ask())
        return self.last

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, _files=None, **fields):
        found = re.search(r'name="form_token" value="(\w+)"', self.last.text if self.last is not None else "")
        fields = {"form_token": found[1] if found else "", **fields}
        return self.request("POST", path, data=fields, files=_files, headers={"origin": ORIGIN})

    def sign_in(self, name, password=PASSWORD):
        """Sign in wholly, setting up a second factor where there is none; the first page."""
        self.get("/sign-in")
        self.post("/sign-in", name=name, password=password)
        if self.last.url.path == "/sign-in/second-factor":
            person = next(p for p in self.console.people.all() if p.name == name)
            self.secrets[name] = bytes.fromhex(self.console.facts.get(f"new-totp/{person.id}"))
            self.post("/sign-in/second-factor", code=code_now(self.secrets[name], self.clock.now))
        else:
            self.clock.pass_(60_000)  # a code is good for once
            self.post("/sign-in/code", code=code_now(self.secrets[name], self.clock.now))
        assert self.last.status_code == 200, self.last.text
        return self.get("/")


def open_console(folder, clock, network=None, **settings):
    return Console.open(Settings(home=folder, **settings), clock, network)


@pytest.fixture
def console_clock():
    return Clock()


@pytest.fixture
def console(tmp_path, console_clock):
    opened = open_console(tmp_path / "console", console_clock)
    yield opened
    opened.close()


@pytest.fixture
def browser(console, console_clock):
    """Of an administrator, "ada", and an official, "otto", not signed in."""
    console.people.add("console", "ada", "Ada Admin", {Role.ADMINISTRATOR}, password=PASSWORD)
    console.people.add("console", "otto", "Otto Official", {Role.DRAFTS}, password=PASSWORD)
    return Browser(console, console_clock)
