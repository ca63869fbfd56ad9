"""Making the agency's keys and having them enrolled: what the pages of the set-up do, apart from the pages."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final

from countermark_client import (
    ADMINISTRATOR,
    INSTANCE,
    SEALING,
    Profile,
    fetch_invitation,
    make_key,
    read_trust_file,
)
from countermark_client._invitations import check_told
from countermark_client._invited import parse_link
from countermark_client._keystore import write_private
from countermark_client._profile_files import check_broker_url
from countermark_client.statements import sign_gathering
from countermark_console.agency_log import actions
from countermark_console.agency_log.log import AgencyLog
from countermark_console.errors import InputError
from countermark_console.network import Network
from countermark_console.people.accounts import People
from countermark_console.setup.steps import Step, next_step
from countermark_console.store.facts import Facts
from countermark_console.texts import N_
from countermark_console.vault import Vault, VaultState
from countermark_protocol.encoding import encode_base64url, parse_base64url
from countermark_protocol.errors import CountermarkError, SignatureError
from countermark_protocol.gathering import read_gathering
from countermark_protocol.identifiers import authority_of, parse_address
from countermark_protocol.keys import fingerprint
from countermark_protocol.recovery import show_paper
from countermark_protocol.sealing import SealingKey

#: Shortest passphrase of the keys: who has the key file can try at leisure (docs/spec/keys.md §6).
SHORTEST_PASSPHRASE: Final = 14
#: The request, where it goes to the authority by hand; in the profile.
REQUEST_FILE: Final = "endpoint.request"
_CONNECTION: Final = "setup/connection"
_MARK: Final = "setup/fingerprint"
_ENROLLED: Final = "setup/enrolled"
ADDRESS: Final = "address"


@dataclass(frozen=True, slots=True)
class Connection:
    """What the set-up knows of broker, log and endpoint before there are keys.

    Attributes:
        broker: its base URL.
        code: of the invitation; empty where the request goes by hand.
        address: of the endpoint.
        authority: its name for people.
        trust: the trust file, base64url.
    """

    broker: str
    code: str
    address: str
    authority: str
    trust: str

    @property
    def trust_fingerprint(self) -> str:
        """Of the trust file."""
        return read_trust_file(parse_base64url(self.trust, "trust")).fingerprint


@dataclass(frozen=True, slots=True)
class MadeKeys:
    """What was made.

    Attributes:
        fingerprint: of the request, to be read out to the authority.
        paper: the recovery key as letters, to be shown once; None where none was wanted.
    """

    fingerprint: str
    paper: str | None


class Enrolling:
    """The set-up of one agency.

    Args:
        facts: where steps are kept.
        people: accounts.
        vault: where keys will be.
        log: of the agency.
        network: how the broker is reached.
    """

    def __init__(self, facts: Facts, people: People, vault: Vault, log: AgencyLog, network: Network) -> None:
        self._facts = facts
        self._people = people
        self._vault = vault
        self._log = log
        self._network = network

    # --- where it stands ---

    @property
    def step(self) -> Step:
        """The step that comes next."""
        state = self._vault.state
        return next_step(
            people=self._people.any(),
            connection=self.connection is not None,
            profile=state is not VaultState.EMPTY,
            unlocked=state is VaultState.OPEN,
            enrolled=self._facts.get(_ENROLLED) is not None or self._from_elsewhere,
        )

    @property
    def _from_elsewhere(self) -> bool:
        """Whether the profile was not made here: somebody has put one that is enrolled where keys are looked for."""
        return self._vault.state is not VaultState.EMPTY and self._facts.get(_CONNECTION) is None

    @property
    def connection(self) -> Connection | None:
        """What was entered about broker and endpoint."""
        kept = self._facts.get(_CONNECTION)
        return Connection(**json.loads(kept)) if kept is not None else None

    @property
    def fingerprint(self) -> str | None:
        """Of the request, to be read out to the authority."""
        return self._facts.get(_MARK)

    @property
    def by_hand(self) -> bool:
        """Whether the request goes to the authority as a file."""
        return (self._vault.folder / REQUEST_FILE).exists()

    def request_file(self) -> bytes:
        """The request, for the authority."""
        return (self._vault.folder / REQUEST_FILE).read_bytes()

    # --- steps ---

    def connect(self, link: str, broker: str) -> Connection:
        """Ask the broker for an invitation.

        Args:
            link: of the invitation, or its code.
            broker: URL, where a code was given.

        Raises:
            InputError: what was entered is neither; or the broker knows no such invitation.
            TransportError: the broker cannot be reached.
        """
        try:
            parsed = parse_link(link)
        except CountermarkError:
            raise InputError(
                "not_a_code", N_("Enter the link or the code that your authority gave you"), field="link"
            ) from None
        if parsed.broker is None and not broker:
            raise InputError("broker_url", N_("With a code, enter the broker's address too"), field="broker")
        try:
            invitation, trust = fetch_invitation(
                parsed, broker or None, transport=self._network.transport, verify=self._network.verify
            )
        except CountermarkError as error:
            if error.code == "no_invitation":
                raise InputError(
                    "no_invitation",
                    N_("The broker knows no such invitation: it is mistyped, used, withdrawn or has expired"),
                    field="link",
                ) from None
            raise
        return self._keep(
            Connection(
                parsed.broker if not broker and parsed.broker else check_broker_url(broker),
                invitation.code,
                invitation.address,
                invitation.authority,
                encode_base64url(trust.document.data),
            )
        )

    def connect_by_hand(self, address: str, broker: str, trust: bytes, told: str) -> Connection:
        """Take what an authority gave by hand.

        Args:
            address: of the endpoint.
            broker: URL.
            trust: the trust file.
            told: its fingerprint, as told by voice.

        Raises:
            InputError: a field is not as it should be.
        """
        try:
            parsed = parse_address(address)
        except CountermarkError:
            raise InputError(
                "bad_address", N_("Enter an address such as ke.police.nairobi"), field="address"
            ) from None
        try:
            url = check_broker_url(broker)
        except CountermarkError:
            raise InputError(
                "broker_url",
                N_("Enter the broker's address, such as https://broker.example.org"),
                field="broker",
            ) from None
        try:
            read = read_trust_file(trust)
            check_told(read.fingerprint, told, "the trust file")
        except SignatureError:
            raise InputError(
                "other_fingerprint",
                N_(
                    "This trust file has another fingerprint than you were told: stop, and call your authority"
                ),
                field="told",
            ) from None
        except CountermarkError:
            raise InputError("not_a_trust_file", N_("That file is not a trust file"), field="trust") from None
        return self._keep(
            Connection(url, "", parsed, authority_of(parsed), encode_base64url(read.document.data))
        )

    def _keep(self, connection: Connection) -> Connection:
        self._facts.set(_CONNECTION, json.dumps(asdict(connection)))
        return connection

    def forget_connection(self) -> None:
        """Enter another one."""
        self._facts.set(_CONNECTION, None)

    def make_keys(self, by: str, name: str, passphrase: str, *, recovery: bool) -> MadeKeys:
        """Make the endpoint's keys, open them, and hand in the request.

        Args:
            by: account of who does it.
            name: of the endpoint, for people.
            passphrase: for the keys.
            recovery: whether to make a recovery key too.

        Raises:
            InputError: the passphrase is too short.
            CountermarkError: the broker does not take the request: `request_again` repeats it.
        """
        connection = self.connection
        assert connection is not None
        if len(passphrase) < SHORTEST_PASSPHRASE:
            raise InputError(
                "short_passphrase",
                N_("Use at least 14 characters; five unrelated words do well"),
                field="passphrase",
            )
        spare = make_key(SEALING) if recovery else None
        Profile.create(
            self._vault.folder,
            address=connection.address,
            broker_url=connection.broker,
            trust=parse_base64url(connection.trust, "trust"),
            passphrase=passphrase,
            keys=[make_key(use) for use in (ADMINISTRATOR, INSTANCE, SEALING)],
            recovery=SealingKey(spare.private, spare.algorithm).public_key if spare is not None else None,
        ).close()
        self._facts.set(ADDRESS, connection.address)
        self._facts.set("setup/name", name)
        self._log.write(by, actions.PROFILE_MADE, connection.address)
        self._vault.unlock(passphrase)
        paper = show_paper(spare.private) if spare is not None else None
        return MadeKeys(self.request(by), paper)

    def request(self, by: str) -> str:
        """Hand in the request, or write it to a file where there was no invitation; its fingerprint."""
        connection, client = self.connection, self._vault.client
        assert connection is not None
        name = self._facts.get("setup/name") or connection.address
        if connection.code:
            mark = client.request_enrolment(connection.code, name)
        else:
            keys = client.profile.keystore.signers(ADMINISTRATOR)
            request = sign_gathering(
                client.drafts.endpoint(
                    connection.address, name=name, administrator=[key.public_key for key in keys]
                ),
                possession=keys,
            )
            write_private(self._vault.folder / REQUEST_FILE, request)
            mark = fingerprint(read_gathering(request).document.payload_hash)
        self._facts.set(_MARK, mark)
        self._log.write(by, actions.ENROLMENT_REQUESTED, connection.address, mark)
        return mark

    def look(self, by: str) -> bool:
        """Whether the authority has approved, and this console's keys count.

        Raises:
            TransportError: the broker cannot be reached.
        """
        client = self._vault.client
        if not client.wait_enrolled(timedelta(0)) and not (self.by_hand and self._publish_keys()):
            return False
        self._facts.set(_ENROLLED, "yes")
        self._facts.set(ADDRESS, client.profile.endpoint)
        self._log.write(by, actions.ENROLLED, client.profile.endpoint)
        return True

    def _publish_keys(self) -> bool:
        """Say which keys the endpoint has, once its record stands: the last step where the request went by hand."""
        client = self._vault.client
        profile = client.profile
        try:
            client.sync()
        except SignatureError:  # the log knows no key of this profile yet
            return False
        if client.directory.endpoint(profile.endpoint) is None:
            return False
        instance = profile.keystore.signer(INSTANCE)
        draft = client.drafts.keys(
            profile.endpoint,
            signing=[(instance.public_key, profile.holder)],
            sealing=profile.keystore.sealing_key().public_key,
        )
        client.publish_statement(sign_gathering(draft, [profile.keystore.signer(ADMINISTRATOR)], [instance]))
        return client.wait_enrolled(timedelta(0))
