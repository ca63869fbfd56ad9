"""`countermark key check`: is every key of the profile there, does it work, and can it leave its token?"""

from __future__ import annotations

from typing import Any

import click

from countermark_client._keystore import GrowingKeystore
from countermark_client.cli.common import Access, with_home
from countermark_client.cli.output import Result, command, table

#: As of `countermark alarms`: somebody has to look into it.
_FINDINGS = 4


@click.command("check")
@with_home
@command
def check(access: Access) -> Result:
    """Use every key of the profile once, and say which does not work or is not kept as it should be.

    Of keys in a token: that each is there once, signs as its public half says, and can never leave the token; and that
    the token opens the sealing keys. Ends with code 4 if anything is wrong. No broker is asked.

    Example:
      countermark key check
    """
    with access.profile() as profile:
        keystore = profile.keystore
        if isinstance(keystore, GrowingKeystore):
            place = keystore.token
            found = [
                (c.use, c.public.key_id.hex()[:16] if c.public is not None else "", c.label, c.error)
                for c in keystore.check()
            ]
        else:
            place = "a key file"
            # Opening the file has made each of them.
            found = [(use, key.key_id.hex()[:16], "", None) for use, key in keystore.public_keys()]
    wrong = [error for *_, error in found if error is not None]
    rows = [(use, key_id, label, f"{error}" if error else "in order") for use, key_id, label, error in found]
    keys: list[dict[str, Any]] = [
        {"use": use, "key_id": key_id, "label": label, "error": error.code if error else None}
        for use, key_id, label, error in found
    ]
    shown: list[Any] = [f"keys in        {place}", table(("KEY", "KEY ID", "LABEL", "STATE"), rows)]
    if wrong:
        shown.append("docs/operations/keys-in-tokens.md tells what to do about each")
    return Result(shown, exit_code=_FINDINGS if wrong else 0, place=place, keys=keys)
