"""Names of the actions in the agency's log. A name is never reused for another action."""

from __future__ import annotations

from typing import Final

from countermark_console.texts import N_

SIGNED_IN: Final = "sign-in"
SIGN_IN_FAILED: Final = "sign-in-failed"
CODE_FAILED: Final = "code-failed"
SIGNED_OUT: Final = "sign-out"
RECOVERY_CODE_USED: Final = "recovery-code-used"
RECOVERY_CODES_MADE: Final = "recovery-codes-made"
SECOND_FACTOR_SET: Final = "second-factor-set"
PASSWORD_SET: Final = "password-set"  # noqa: S105  # the name of an action
ACCOUNT_ADDED: Final = "account-added"
ACCOUNT_CHANGED: Final = "account-changed"
KEYS_UNLOCKED: Final = "keys-unlocked"
KEYS_LOCKED: Final = "keys-locked"
UNLOCK_FAILED: Final = "unlock-failed"
PROFILE_MADE: Final = "profile-made"
ENROLMENT_REQUESTED: Final = "enrolment-requested"
ENROLLED: Final = "enrolled"
STARTED: Final = "console-started"

#: For people, in the order of the list of the log's page. Parts of the console add theirs (`LABELS.update`).
LABELS: Final[dict[str, str]] = {
    SIGNED_IN: N_("signed in"),
    SIGN_IN_FAILED: N_("failed to sign in"),
    CODE_FAILED: N_("gave a wrong code"),
    SIGNED_OUT: N_("signed out"),
    RECOVERY_CODE_USED: N_("used a recovery code"),
    RECOVERY_CODES_MADE: N_("made new recovery codes"),
    SECOND_FACTOR_SET: N_("set up a second factor"),
    PASSWORD_SET: N_("set the password of"),
    ACCOUNT_ADDED: N_("added the account"),
    ACCOUNT_CHANGED: N_("changed the account"),
    KEYS_UNLOCKED: N_("unlocked the keys"),
    KEYS_LOCKED: N_("locked the keys"),
    UNLOCK_FAILED: N_("failed to unlock the keys"),
    PROFILE_MADE: N_("made the agency's keys"),
    ENROLMENT_REQUESTED: N_("asked to be enrolled"),
    ENROLLED: N_("was enrolled"),
    STARTED: N_("started"),
}
