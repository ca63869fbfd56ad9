"""Records carry certificates of an existing PKI as bounded bytes; readers hold them against roots that they trust."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from countermark_protocol.certificate_paths import (
    parse_chain,
    parse_pki_roots,
    root_fingerprint,
    root_name,
    verify_certificates,
)
from countermark_protocol.certificates import (
    MAX_CERTIFICATE_BYTES,
    MAX_CERTIFIED,
    KeyCertificates,
    change_certificates,
)
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.documents import MAX_PAYLOAD_BYTES
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Role
from countermark_protocol.keys import Algorithm, parse_public_key
from countermark_protocol.records import (
    AuthorityRecord,
    DirectoryStatement,
    EndpointRecord,
    InstanceKey,
    KeysRecord,
    State,
    make_key_set,
    parse_directory_statement,
)
from support.protocol_world import make_world
from support.tsa import certify, make_key, name_of, pem
from support.world import NAIROBI, signer

NOW = datetime(2026, 11, 20, tzinfo=UTC)
AT = int(NOW.timestamp() * 1000)
DAY = timedelta(days=1)


class Pki:
    """A national PKI: a root, an authority below it, and keys that it certifies."""

    def __init__(self, **middle):
        self.root_key, self.key = make_key("rsa"), make_key()
        self.root = certify("Root of Kenya", self.root_key, authority=True)
        self.middle = certify("Government CA", self.key, (self.root, self.root_key), authority=True, **middle)
        self.roots = parse_pki_roots(pem(self.root))

    def chain(self, key, subject="National Focal Point", **options):
        options.setdefault("usages", None)
        leaf = certify(subject, key, (self.middle, self.key), **options)
        return tuple(one.public_bytes(Encoding.DER) for one in (leaf, self.middle))


@pytest.fixture(scope="module")
def pki():
    return Pki()


def ed():
    private = ed25519.Ed25519PrivateKey.generate()
    return private, parse_public_key(Algorithm.ED25519, private.public_key().public_bytes_raw())


def es():
    private = make_key()
    return private, parse_public_key(Algorithm.ES256, point(private))


def point(private):
    numbers = private.public_key().public_numbers()
    return b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def refused(code, function, *arguments):
    with pytest.raises(CountermarkError) as caught:
        function(*arguments)
    assert caught.value.code == code, caught.value
    return caught.value


# --- paths --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [ed, es])
def test_a_key_that_a_national_pki_certified(pki, make):
    private, key = make()
    found = verify_certificates(key, pki.chain(private), pki.roots, AT)
    assert (found.subject, found.issuer, found.root) == (
        "CN=National Focal Point",
        "CN=Government CA",
        "CN=Root of Kenya",
    )
    assert found.not_after > AT


def test_another_key(pki):
    private, _ = ed()
    refused("certificate_other_key", verify_certificates, ed()[1], pki.chain(private), pki.roots, AT)
    rsa = make_key("rsa")
    refused("certificate_other_key", verify_certificates, ed()[1], pki.chain(rsa), pki.roots, AT)


def test_it_is_judged_as_of_the_entry(pki):
    private, key = es()
    chain = pki.chain(private, begins=NOW - 2 * DAY, ends=NOW - DAY)
    error = refused("certificate_untrusted", verify_certificates, key, chain, pki.roots, AT)
    assert "not valid at validation time" in error.message
    assert "as of 2026-11-20" in error.message
    verify_certificates(key, chain, pki.roots, AT - 36 * 3_600_000)
    refused("certificate_untrusted", verify_certificates, key, chain, pki.roots, AT - 72 * 3_600_000)


def test_roots_of_others(pki):
    private, key = es()
    refused("certificate_untrusted", verify_certificates, key, pki.chain(private), Pki().roots, AT)
    # Its own certificate alone does not lead anywhere.
    refused("certificate_untrusted", verify_certificates, key, pki.chain(private)[:1], pki.roots, AT)
    own = certify("Myself", private, authority=False, usages=None)
    refused(
        "certificate_untrusted", verify_certificates, key, (own.public_bytes(Encoding.DER),), pki.roots, AT
    )


def test_a_name_outside_what_the_authority_may_certify():
    narrow = Pki(extensions=((x509.NameConstraints([x509.RFC822Name("police.go.ke")], None), True),))
    private, key = es()

    def named(address):
        return narrow.chain(
            private, extensions=((x509.SubjectAlternativeName([x509.RFC822Name(address)]), False),)
        )

    verify_certificates(key, named("focal@police.go.ke"), narrow.roots, AT)
    error = refused(
        "certificate_untrusted", verify_certificates, key, named("focal@police.go.ug"), narrow.roots, AT
    )
    assert "name constraints" in error.message
    # Constraints that the library cannot judge are not passed over.
    strange = Pki(extensions=((x509.NameConstraints([x509.DirectoryName(name_of("Kenya"))], None), True),))
    refused("certificate_untrusted", verify_certificates, key, strange.chain(private), strange.roots, AT)


def test_authorities_that_may_not_certify(pki):
    private, key = es()
    closed = Pki(path_length=0)
    below_key = make_key()
    below = certify("Below", below_key, (closed.middle, closed.key), authority=True)
    leaf = certify("Office", private, (below, below_key), usages=None)
    chain = tuple(one.public_bytes(Encoding.DER) for one in (leaf, below, closed.middle))
    refused("certificate_untrusted", verify_certificates, key, chain, closed.roots, AT)
    other_key = make_key()
    office = certify("Office", other_key, (pki.middle, pki.key), usages=None)
    forged = certify("Forged", private, (office, other_key), usages=None)
    chain = tuple(one.public_bytes(Encoding.DER) for one in (forged, office, pki.middle))
    refused("certificate_untrusted", verify_certificates, key, chain, pki.roots, AT)


def test_a_key_that_is_not_for_signatures(pki):
    private, key = es()
    leaf = (
        x509.CertificateBuilder()
        .subject_name(name_of("Box"))
        .issuer_name(pki.middle.subject)
        .public_key(private.public_key())
        .serial_number(9)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(pki.key.public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(False, False, False, False, True, False, False, False, False), critical=True
        )
        .sign(pki.key, hashes.SHA256())
    )
    chain = tuple(one.public_bytes(Encoding.DER) for one in (leaf, pki.middle))
    error = refused("certificate_untrusted", verify_certificates, key, chain, pki.roots, AT)
    assert "not for signatures" in error.message


def test_no_flipped_bit_passes(pki):
    private, key = es()
    chain = pki.chain(private)
    for at in range(0, len(chain[0]), 3):
        spoilt = bytearray(chain[0])
        spoilt[at] ^= 1
        with pytest.raises(CountermarkError):
            verify_certificates(key, (bytes(spoilt), chain[1]), pki.roots, AT)


def test_a_chain_as_people_have_it(pki):
    private, key = es()
    leaf = certify("Office", private, (pki.middle, pki.key), usages=None)
    parsed = parse_chain(pem(leaf, pki.middle, pki.root))
    assert parsed.key_id == key.key_id
    assert len(parsed.chain) == 2  # whoever verifies has the root
    verify_certificates(key, parsed.chain, pki.roots, AT)
    refused("bad_certificate", parse_chain, b"junk")
    refused("bad_certificate", parse_chain, pem(certify("R", make_key("rsa"), (pki.middle, pki.key))))
    p384 = certify("P", ec.generate_private_key(ec.SECP384R1()), (pki.middle, pki.key), usages=None)
    refused("bad_certificate", parse_chain, pem(p384))
    refused("bad_certificate", parse_chain, pem(leaf, *[pki.middle] * 4))
    big = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), bytes(MAX_CERTIFICATE_BYTES))
    large = certify("L", private, (pki.middle, pki.key), usages=None, extensions=((big, False),))
    refused("bad_certificate", parse_chain, pem(large))


def test_roots(pki):
    assert root_name(pki.roots[0]) == "Root of Kenya"
    assert len(root_fingerprint(pki.roots[0])) == 64
    for junk in (b"", b"junk", pem(pki.root) + b" " * 2**22):
        refused("bad_pki_roots", parse_pki_roots, junk)


# --- records ------------------------------------------------------------------------------------------

A = signer("certified A").public_key
B = signer("certified B").public_key
ONE = KeyCertificates(A.key_id, (b"not judged", b"at all"))


def records(certificates):
    keys = make_key_set([A, B])
    instances = tuple(sorted((InstanceKey(A, "a"), InstanceKey(B, "b")), key=lambda k: k.key.key_id))
    sealing = make_world().state.directory.keys(NAIROBI).sealing
    yield (
        Kind.AUTHORITY,
        "authority/ke",
        AuthorityRecord("ke", "Kenya", keys, (Role.POLICE,), State.ACTIVE, certificates),
    )
    yield (
        Kind.ENDPOINT,
        f"endpoint/{NAIROBI}",
        EndpointRecord(NAIROBI, "Nairobi", keys, State.ACTIVE, certificates=certificates),
    )
    yield (
        Kind.KEYS,
        f"keys/{NAIROBI}",
        KeysRecord(NAIROBI, instances, sealing, None, 0, {}, certificates=certificates),
    )


def payload(kind, subject, record):
    header = Header(kind, "log.example/1", Seen(0, bytes(32)))
    return DirectoryStatement(header, subject, None, record).to_json()


@pytest.mark.parametrize("number", range(3))
def test_a_record_with_certificates(number):
    kind, subject, record = list(records((ONE,)))[number]
    parsed = parse_directory_statement(payload(kind, subject, record)).record
    assert parsed == record
    assert "certificates" not in replace(record, certificates=()).to_json()
    both = tuple(sorted((ONE, KeyCertificates(B.key_id, (b"x",))), key=lambda c: c.key_id))
    both_record = replace(record, certificates=both)
    assert parse_directory_statement(payload(kind, subject, both_record)).record == both_record
    for wrong in (
        both[::-1],
        (ONE, ONE),
        (KeyCertificates(signer("stranger").public_key.key_id, (b"x",)),),
        (KeyCertificates(A.key_id, ()),),
        (KeyCertificates(A.key_id, (b"x", b"x")),),
        (KeyCertificates(A.key_id, (b"1", b"2", b"3", b"4", b"5")),),
        (KeyCertificates(A.key_id, (bytes(MAX_CERTIFICATE_BYTES + 1),)),),
        (KeyCertificates(A.key_id, (b"",)),),
    ):
        with pytest.raises(CountermarkError):
            parse_directory_statement(payload(kind, subject, replace(record, certificates=wrong)))


def test_the_empty_list_is_no_form_of_a_record():
    kind, subject, record = next(records(()))
    claims = payload(kind, subject, record)
    claims["record"]["certificates"] = []
    refused("bad_member", parse_directory_statement, claims)


def test_as_many_as_there_may_be_fit_into_a_statement():
    keys = [signer(f"certified {i}").public_key for i in range(MAX_CERTIFIED)]
    chain = tuple(bytes([i]) * MAX_CERTIFICATE_BYTES for i in range(4))
    record = AuthorityRecord(
        "ke",
        "Kenya",
        make_key_set(keys),
        (Role.POLICE,),
        State.ACTIVE,
        tuple(KeyCertificates(k, chain) for k in sorted(one.key_id for one in keys)),
    )
    data = encode_json(payload(Kind.AUTHORITY, "authority/ke", record))
    assert len(data) < MAX_PAYLOAD_BYTES
    assert parse_directory_statement(parse_object(data, "payload")).record == record


def test_changing_them():
    other = KeyCertificates(B.key_id, (b"y",))
    newer = KeyCertificates(A.key_id, (b"z",))
    everything = tuple(sorted((newer, other), key=lambda c: c.key_id))
    assert change_certificates((ONE,), (newer, other), (A.key_id, B.key_id)) == everything
    assert change_certificates((ONE, other), (), (B.key_id,)) == (other,)
