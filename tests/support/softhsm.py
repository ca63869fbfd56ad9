"""Software tokens of Debian's SoftHSM 2, a folder each, initialised like a real one."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.tools import tool

PIN, OFFICER_PIN = "271828", "314159"
_PLACES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
#: CK_TOKEN_INFO flags (PKCS#11 3.0 §3.2).
COUNT_LOW, FINAL_TRY, LOCKED = 0x00010000, 0x00020000, 0x00040000
#: CKA_VENDOR_SOFTHSM + 3: where SoftHSM keeps the flags of a token in its file token.object.
_FLAGS_ATTRIBUTE = (0x80000000 + 0x5348 + 0x3).to_bytes(8, "big")


@dataclass(frozen=True)
class SoftHsm:
    """Where SoftHSM keeps its tokens for this process and those that it starts.

    Attributes:
        folder: with the configuration and the tokens.
        module: the library.
    """

    folder: Path
    module: str

    @property
    def environment(self):
        """What a process needs to see these tokens; this one has it."""
        return {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}

    def make(self, label):
        """Initialise a further token; its serial number."""
        made = subprocess.run(
            [
                *(tool("softhsm2-util", "Debian package softhsm2"), "--init-token", "--free"),
                *("--label", label, "--pin", PIN, "--so-pin", OFFICER_PIN),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        assert "initialized" in made.stdout
        shown = subprocess.run(
            [tool("softhsm2-util", "Debian package softhsm2"), "--show-slots"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        found = re.findall(r"Serial number:\s+(\S+)\s.*?Label:\s+(\S*)\s", shown, re.DOTALL)
        return [serial for serial, name in found if name == label][-1]

    def uri(self, token, key="", **query):
        """The URI of a token, or of a key in it."""
        named = f"token={token}{f';object={key}' if key else ''}"
        return "&".join(
            [f"pkcs11:{named}?module-path={self.module}", *(f"{k}={v}" for k, v in query.items())]
        )

    def files(self, serial):
        """The folder of a token."""
        [found] = [p for p in (self.folder / "tokens").iterdir() if p.name.replace("-", "").endswith(serial)]
        return found

    def set_flags(self, serial, flags):
        """Have a token say of itself what real ones say after wrong PINs; SoftHSM has no lock of its own."""
        path = self.files(serial) / "token.object"
        data = bytearray(path.read_bytes())
        at = data.index(_FLAGS_ATTRIBUTE) + 16
        value = int.from_bytes(data[at : at + 8], "big") | flags
        data[at : at + 8] = value.to_bytes(8, "big")
        path.write_bytes(data)
        generation = self.files(serial) / "generation"
        count = int.from_bytes(generation.read_bytes(), "big") + 1
        generation.write_bytes(count.to_bytes(8, "big"))


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory):
    """A place for tokens, with none in it; the test that asks is NOT RUN without SoftHSM.

    One for all tests, since the library in this process knows one place at a time.
    """
    pytest.importorskip("pkcs11", reason="NOT RUN: needs the extra countermark-client[pkcs11]")
    module = tool("libsofthsm2.so", "Debian package softhsm2", *_PLACES)
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    made = SoftHsm(folder, module)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment.items():
            patch.setenv(name, value)
        yield made
