"""Evidence and disclosures against the real broker, on both databases: made by the parties, checked from bytes alone."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from demo import records  # noqa: E402
from demo.exchange import agency_of, handling  # noqa: E402
from demo.inventions import Inventions  # noqa: E402

from countermark_client._acting import Acts  # noqa: E402
from countermark_protocol.acts import Purge, PurgeGround  # noqa: E402
from countermark_protocol.claims import Header, Kind  # noqa: E402
from countermark_protocol.disclosure import parse_disclosed, verify_shown  # noqa: E402
from countermark_protocol.evidence_checks import verify_evidence  # noqa: E402
from support.demo import governed, serving  # noqa: E402

POLICE, CONTACT = "us.police.delaware", "br.contact.national"
CAST = {"us": ("United States", {POLICE: "Desk"}), "br": ("Brazil", {CONTACT: "Contact point"})}


@pytest.fixture(scope="module")
def world(tmp_path_factory, real_database):
    with governed(tmp_path_factory.mktemp("real") / "world", real_database, CAST) as world, serving(world):
        yield world


def test_what_both_parties_make_convinces_a_court(world):
    police, contact = world.clients[POLICE], world.clients[CONTACT]
    row = next(
        r for r in records.load_rows("delaware_trace_pairs") if r["manufacturer_src"] and r["calibre_src"]
    )
    notice = records.confiscation_notice(row, agency_of(POLICE), Inventions())
    sent = police.send("confiscation-notice", notice, [CONTACT], handling=handling(), exercise=True)
    contact.accept_many([m for m in contact.inbox() if m.message == sent.message])

    made = police.disclose(sent, "High Court", "an exercise", parts=["/items/0"])
    assert list(verify_shown(parse_disclosed(made.data)).opened) == ["/items/0"]
    assert police.disclose(sent, "High Court", "an exercise", parts=["/items/0"]) == made
    fingerprint = police.profile.trust.fingerprint
    proven = verify_evidence(police.evidence(sent, disclosures=[made.data]).data, fingerprint)
    assert [e.receipt.stage.value for e in proven.entries] == ["delivered", "accepted"]
    assert proven.message.signed.index == sent.index
    assert proven.message.all_shown
    assert proven.disclosures[0].signed.index == made.index

    theirs = verify_evidence(contact.evidence(sent.message).data, fingerprint)
    assert [e.signed for e in theirs.entries] == [e.signed for e in proven.entries]
    assert [r.endpoint for r in theirs.message.rows] == [CONTACT]

    core = police._core
    withdrawn = police._run(
        Acts(core.session, core.log, core.sender).post(
            lambda seen: Purge(
                Header(Kind.PURGE, police.profile.log, seen),
                police.profile.endpoint,
                sent.message,
                PurgeGround.WITHDRAWN,
            )
        )
    )
    for client in (police, contact):
        *_, last = verify_evidence(client.evidence(sent.message).data, fingerprint).entries
        assert (last.signed.index, last.purge.ground) == (withdrawn.index, PurgeGround.WITHDRAWN)
