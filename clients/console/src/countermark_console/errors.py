"""What the console refuses, and why. Each becomes a page in plain words (`web/failures.py`)."""

from __future__ import annotations

from countermark_protocol.errors import CountermarkError


class ConsoleError(CountermarkError):
    """A refusal of the console itself."""

    hint = "the page that shows it says what to do"


class SettingsError(ConsoleError):
    """The settings are of no use."""

    hint = "compare console.toml and the environment with docs/operations/console.md, then start again"


class InputError(ConsoleError):
    """What a person entered is not what was asked for.

    Facts:
        field: name of the form's field, if it is one field's fault.
    """

    hint = "correct the field that the page names, and send the form again"


class SignInNeededError(ConsoleError):
    """Nobody is signed in, or not wholly."""

    hint = "sign in; the browser is sent there"


class SignInError(ConsoleError):
    """The sign-in service did not prove who somebody is."""

    hint = "sign in once more; if it stays, compare the oidc_ settings with the provider's"


class DeniedError(ConsoleError):
    """Who is signed in may not do this, or the request is not from a page of this console."""

    hint = "ask an administrator of the console for the role, or load the page anew"


class LockedError(ConsoleError):
    """The agency's keys are locked."""

    hint = "unlock them with their passphrase"


class TooManyError(ConsoleError):
    """Too many failed attempts.

    Facts:
        wait_s: seconds until the next attempt is looked at.
    """

    hint = "wait as long as the page says"


class BodyTooLargeError(ConsoleError):
    """A body beyond its limit."""

    hint = "send less, or raise body_bytes or upload_bytes in console.toml"


class ChainError(ConsoleError):
    """The agency's own log is not what was written to it."""

    hint = "keep a copy of the database, find out who could write to it, and restore it from a backup"
