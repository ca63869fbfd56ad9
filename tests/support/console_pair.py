"""Two agencies' consoles without a network: over the broker in memory, each with officials who write and who release."""

import pytest

from countermark_client import testing
from countermark_console.config import Settings
from countermark_console.console import Console
from countermark_console.network import Network
from countermark_console.people.roles import Role
from support.console import PASSWORD, Browser

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"


class Office:
    """A console with its browser, signed in as "dora", who writes; "rita" releases.

    Attributes:
        console: opened, its keys open; it receives when `round` is called, not by itself.
        browser: of whoever signs in.
    """

    def __init__(self, world, address, folder, **settings):
        self.world = world
        keys = world.keystore(address)
        home = folder / address
        home.mkdir(parents=True)
        world.profile(address, folder=home / "profile", keystore=keys).close()
        network = Network(transport=world.transport, clock=world.clock, sleep=world.clock.sleep)
        self.console = Console.open(Settings(home=home, **settings), world.clock, network)
        self.console.vault.unlock(testing.PASSPHRASE)
        self.console.people.add("console", "dora", "Dora Drafter", {Role.DRAFTS}, password=PASSWORD)
        self.console.people.add("console", "rita", "Rita Releaser", {Role.RELEASES}, password=PASSWORD)
        clock = world.clock
        self.browser = Browser(self.console, _Moving(clock))

    @property
    def desk(self):
        return self.console.desk

    def sign_in(self, name):
        self.browser.cookies.clear()
        self.browser.last = None
        return self.browser.sign_in(name)

    def round(self):
        return self.desk.receiving.round(self.console.vault.client)

    def close(self):
        self.console.close()


class _Moving:
    """The clock of the world, as the browser's support moves one."""

    def __init__(self, clock):
        self._clock = clock

    @property
    def now(self):
        return self._clock()

    def pass_(self, ms):
        self._clock.sleep(ms / 1000)


@pytest.fixture
def pair_world():
    return testing.world(KENYA, BELGIUM)


@pytest.fixture
def kenya(pair_world, tmp_path):
    office = Office(pair_world, KENYA, tmp_path)
    yield office
    office.close()


@pytest.fixture
def belgium(pair_world, tmp_path):
    office = Office(pair_world, BELGIUM, tmp_path)
    yield office
    office.close()
