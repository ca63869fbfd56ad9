"""From a fresh machine to an endpoint that sends: the first story."""

import threading
from contextlib import closing

from countermark_protocol.invitations import show_code
from support.chromium import ServedConsole, authority, opened

PASSPHRASE = "copper lanterns over quiet harbours"
OWN = "correct horse under battery"


def approve(world, told):
    """What the authority does: compare what it was told, and approve."""
    with authority(world, "ke") as client:
        [waiting] = client.invitations().waiting
        client.approve_enrolment(waiting, told)


def test_from_nothing_to_an_endpoint_that_sends(chromium, console_world, tmp_path, shoot):
    with authority(console_world, "ke") as client:
        code = show_code(client.invite("ke.police.mombasa", days=1).code)
    with closing(ServedConsole(tmp_path / "home")) as served, opened(chromium) as page:
        console = served.console
        page.goto(f"{served.url}/setup?code={console.setup_code.text}")
        page.get_by_label("Your full name").fill("Amina Otieno")
        page.get_by_label("Name to sign in with").fill("a.otieno")
        page.get_by_label("Password").fill(OWN)
        shoot(page, "setup-1-administrator")
        page.get_by_label("I also read and write messages").check()
        page.get_by_role("button", name="Continue").click()

        shoot(page, "setup-2-second-factor")
        [person] = console.people.all()
        served.secrets["a.otieno"] = bytes.fromhex(console.facts.get(f"new-totp/{person.id}"))
        page.get_by_role("textbox", name="Code").fill(served.code("a.otieno"))
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("heading", name="Keep these recovery codes").wait_for()
        shoot(page, "setup-3-recovery-codes")
        page.get_by_role("button", name="I have kept them").click()

        page.get_by_label("Link or code").fill(code)
        page.get_by_label("Broker's address, with a code").fill(console_world.url)
        shoot(page, "setup-4-invitation")
        page.get_by_role("button", name="Continue").click()

        page.get_by_label("Your agency's name, for its partners").fill("Port police, Mombasa")
        page.get_by_label("Passphrase of the keys").fill(PASSPHRASE)
        page.get_by_label("The same once more").fill(PASSPHRASE)
        shoot(page, "setup-5-keys")
        page.get_by_role("button", name="Make the keys").click()
        page.get_by_role("heading", name="Print the recovery key").wait_for()
        shoot(page, "setup-6-recovery-key")
        page.get_by_role("button", name="It is in the safe").click()

        told = page.locator(".cm-panel__value").inner_text()
        shoot(page, "setup-7-waiting")
        approving = threading.Thread(target=approve, args=(console_world, told))
        approving.start()
        page.get_by_role("heading", name="Ready to send and receive").wait_for(timeout=60_000)
        approving.join()
        shoot(page, "setup-8-done")

        client = console.vault.client
        assert client.profile.address == "ke.police.mombasa"
        assert client.directory.endpoint(client.profile.address).name == "Port police, Mombasa"
        assert list((client.profile.folder / "recovery").glob("*.json"))
        console.log.verify()
