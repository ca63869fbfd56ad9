"""Renewing keys before they end: made here, certified by the endpoint's administrator, used once they count.

New keys are kept durably before they are published, and a key is signed with only while it counts
(`Session.signer`). So an interruption anywhere is mended by renewing again: what was made and never certified is taken
up.

The old instance key ends after an overlap, so that what is in flight still counts; the old sealing key is accepted as
predecessor for as long, and kept in the keystore for good.

By itself a client renews only what it can do alone: with the administrator's key in its keystore, and the sealing key
only where no other instance would be left without it.

Source: docs/spec/directory.md §4.4, §4.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from countermark_client._flows_send import Sender
from countermark_client._io import Flow
from countermark_client._keystore import ADMINISTRATOR, INSTANCE, SEALING
from countermark_client._log import LogView
from countermark_client._own_keys import OwnKeys
from countermark_client._session import Session
from countermark_client._words import moment, span
from countermark_client.drafts import change_keys
from countermark_client.statements import Drafts, sign_gathering
from countermark_protocol.errors import CountermarkError, NotFoundError, TransportError, UncheckableError
from countermark_protocol.keys import Algorithm, PublicKey, Signer
from countermark_protocol.records import InstanceKey, KeysRecord
from countermark_protocol.resets import beginning_for


@dataclass(frozen=True, slots=True)
class KeyEnd:
    """A key of this endpoint that has an end.

    Attributes:
        use: ``instance`` or ``sealing``.
        key: it.
        holder: of an instance key; else empty.
        until: ms since 1970 from which it counts no more.
        here: whether it is this profile's to renew.
    """

    use: str
    key: PublicKey
    holder: str
    until: int
    here: bool


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a renewal did.

    Attributes:
        index: log index of the statement; None if it still has to be signed by the administrator.
        instance: the new instance key, if there is one.
        sealing: the new sealing key, if there is one.
        until: ms since 1970 from which the new keys count no more.
        draft: the statement, to be signed by the administrator and published; None once it is in the log.
    """

    index: int | None
    instance: PublicKey | None
    sealing: PublicKey | None
    until: int
    draft: bytes | None = None


class Renewal:
    """Renews the keys of one profile."""

    def __init__(self, session: Session, log: LogView, sender: Sender, own: OwnKeys) -> None:
        self._session = session
        self._log = log
        self._sender = sender
        self._own = own
        self._failed: str | None = None

    # --- what ends when ---

    def ends(self) -> tuple[KeyEnd, ...]:
        """The keys of this endpoint that have an end, the first to end first."""
        record = self._record()
        return () if record is None else tuple(sorted(self._ends(record), key=lambda end: end.until))

    def _record(self) -> KeysRecord | None:
        address = self._session.profile.address
        return self._log.directory.keys(address) if address is not None else None

    def _ends(self, record: KeysRecord) -> Iterator[KeyEnd]:
        own = {s.public_key for s in self._session.profile.keystore.signers(INSTANCE)}
        for one in record.signing:
            if one.until is not None:
                yield KeyEnd("instance", one.key, one.holder, one.until, one.key in own)
        if record.sealing is not None and record.sealing_until is not None:
            yield KeyEnd("sealing", record.sealing, "", record.sealing_until, True)

    def _ending(self, within: int) -> tuple[KeyEnd, ...]:
        """Keys that this profile needs and that end within some ms, those that have ended included.

        One that is followed by another of this profile's keys is not missed.
        """
        now, record = self._session.clock(), self._record()
        if record is None:
            return ()
        lasting = {
            one.key
            for one in record.signing
            if (one.until is None or one.until > now + within)
            and self._log.directory.revocation(one.key.key_id) is None
        }
        own = {s.public_key for s in self._session.profile.keystore.signers(INSTANCE)}
        covered = bool(own & lasting)
        return tuple(
            end
            for end in self.ends()
            if end.until <= now + within and end.here and not (end.use == "instance" and covered)
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What has to be done about keys, for people; empty while nothing has."""
        now = self._session.clock()
        out = []
        for end in self._ending(self._session.settings.warn_before):
            left = end.until - now
            when = f"ends in {span(left)}, {moment(end.until)}" if left > 0 else f"ended {moment(end.until)}"
            out.append(f"the {end.use} key {end.key.key_id.hex()[:16]} of this endpoint {when}: renew it")
        if self._failed is not None and out:
            out.append(f"keys could not be renewed: {self._failed}")
        return tuple(out)

    # --- renewing ---

    def run_if_due(self) -> Flow[None]:
        """Renew what ends soon, as far as this profile can do so alone. What fails is a warning, and tried again."""
        settings, keystore = self._session.settings, self._session.profile.keystore
        if (
            not settings.renew_before
            or settings.cut_off
            or self._session.carried
            or self._log.halted is not None
        ):
            return
        ending = self._ending(settings.renew_before)
        if not ending or not keystore.signers(ADMINISTRATOR):
            return
        uses = {end.use for end in ending}
        instance, sealing = "instance" in uses, "sealing" in uses and self._is_alone()
        if not (instance or sealing):
            return
        try:
            renewed = yield from self.renew(instance=instance, sealing=sealing)
        except TransportError:
            return  # the broker is away: there is time, and whoever waits for it hears of it anyway
        except (CountermarkError, TypeError) as error:
            if isinstance(error, CountermarkError) and self._log.halted is not None:
                raise
            self._failed = str(error)
        else:
            self._failed = None
            self._session.watch.renewed(renewed)

    def _is_alone(self) -> bool:
        """Whether all instance keys that count are this profile's: nobody else has to be given a new sealing key."""
        record, now = self._record(), self._session.clock()
        own = {s.public_key for s in self._session.profile.keystore.signers(INSTANCE)}
        return record is not None and all(
            one.key in own for one in record.signing if one.until is None or one.until > now
        )

    def renew(
        self,
        *,
        instance: bool,
        sealing: bool,
        algorithm: Algorithm | None = None,
        sealing_algorithm: Algorithm | None = None,
        second: bool | None = None,
        until: int | None = None,
        administrator: Signer | None = None,
        passphrase: str = "",
        request: bool = False,
    ) -> Flow[Renewed]:
        """Make new keys, have them certified, and let the old ones overlap; see `Client.renew_keys`."""
        yield from self._log.sync()
        profile, settings, now = self._session.profile, self._session.settings, self._session.clock()
        address, record = profile.endpoint, self._record()
        if record is None or record.sealing is None:
            raise NotFoundError("not_enrolled", f"{address} has no keys in the directory: enrol it first")
        if administrator is None and not request:
            administrator = profile.keystore.signer(ADMINISTRATOR)
        end = now + settings.key_validity if until is None else until
        overlap = now + settings.key_overlap
        fresh = self._instance(algorithm, passphrase, second=second) if instance else None
        seal = (
            self._sealing(record.sealing, sealing_algorithm or record.sealing.algorithm, passphrase)
            if sealing
            else None
        )
        own = {s.public_key for s in profile.keystore.signers(INSTANCE)}
        old = [one for one in record.signing if one.key in own] if fresh is not None else []
        begins = beginning_for(self._log.directory, address, now) if seal is not None else 0
        draft = change_keys(
            Drafts(profile.log, self._log.directory, self._log.seen),
            self._log.directory,
            address,
            add=[InstanceKey(fresh.public_key, old[0].holder if old else profile.holder, end)]
            if fresh
            else [],
            remove=[one.key.key_id for one in old if one.until is not None and one.until <= now],
            ends={
                one.key.key_id: min(one.until or overlap, overlap)
                for one in old
                if one.until is None or one.until > now
            },
            sealing=seal,
            overlap_until=max(overlap, begins + settings.key_overlap) if seal is not None else 0,
            sealing_from=begins,
            sealing_until=end if seal is not None else None,
            now=now,
        )
        signed = sign_gathering(draft, [administrator] if administrator else [], [fresh] if fresh else [])
        self._own.publishing(signed)
        told = fresh.public_key if fresh is not None else None
        if administrator is None:
            return Renewed(None, told, seal, end, signed)
        index = yield from self._sender.publish(signed)
        yield from self._log.sync()
        return Renewed(index, told, seal, end)

    def _instance(self, algorithm: Algorithm | None, passphrase: str, *, second: bool | None) -> Signer:
        """A new instance key: one that was made before and never certified, or a fresh one, kept first."""
        keystore, directory = self._session.profile.keystore, self._log.directory
        present = self._session.signer().public_key
        wanted = algorithm or present.algorithm
        paired = present.second is not None if second is None else second
        for signer in keystore.signers(INSTANCE):
            key = signer.public_key
            fits = key.algorithm is wanted and (key.second is not None) is paired
            if fits and not directory.subjects_of_key(key.key_id):
                return signer
        self._make(INSTANCE, wanted, passphrase, second=paired)
        return self._session.profile.keystore.signer(INSTANCE)

    def _sealing(self, stated: PublicKey, wanted: Algorithm, passphrase: str) -> PublicKey:
        """A new sealing key: as `_instance`."""
        current = self._session.profile.keystore.sealing_key().public_key
        never_stated = not self._log.directory.subjects_of_key(current.key_id)
        if current != stated and never_stated and current.algorithm is wanted:
            return current
        self._make(SEALING, wanted, passphrase)
        return self._session.profile.keystore.sealing_key().public_key

    def _make(self, use: str, algorithm: Algorithm, passphrase: str, *, second: bool = False) -> None:
        try:
            self._session.profile.make_key(use, algorithm, passphrase, second=second)
        except TypeError:
            raise UncheckableError(
                "keys_elsewhere",
                "this profile's keys are neither in a key file nor in a token: make the new key with its own tools, "
                "then draft the change",
            ) from None
