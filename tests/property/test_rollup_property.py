"""Whatever receipts and notices came: everybody stands in one place, and who is missing is named."""

from hypothesis import given
from hypothesis import strategies as st

from countermark_client._rollup import MISSING, Rollup, Standing, _standing
from countermark_client._store import StoredDelivery
from support.examples import tried

EXPIRES, LOGGED = 1_000, (10, 5)
TIMES = st.integers(11, 2_000)


@st.composite
def deliveries(draw):
    """One recipient, as the log may leave it: receipts in their order, a notice only after expiry and while open."""
    stage = draw(st.sampled_from(["open", "delivered", "accepted", "rejected"]))
    noticed = draw(st.none() | st.integers(EXPIRES, 2_000))
    delivered = None if stage == "open" else draw(TIMES if noticed is None else st.integers(noticed, 2_500))
    time = delivered if stage == "delivered" or delivered is None else draw(st.integers(delivered, 3_000))
    number = draw(st.integers(0, 10**6))
    index = None if stage == "open" else number + 7
    reason = "not_for_us" if stage == "rejected" else None
    undelivered = number + 6 if noticed is not None else None
    known = StoredDelivery(
        b"m", f"xo-un.customs.n{number}", stage, index, time, reason, None, undelivered, delivered
    )
    return known, noticed


@tried(200)
@given(st.lists(deliveries(), max_size=30, unique_by=lambda d: d[0].recipient), st.integers(0, 3))
def test_everybody_stands_in_one_place(found, unknown):
    standings = tuple(_standing(d, noticed, EXPIRES, LOGGED) for d, noticed in found)
    view = Rollup(b"m", "trade-route-alert", "logged", 5, 10, EXPIRES, False, None, standings, unknown, ())
    assert sum(view.counts.values()) == len(found)
    assert view.collected + len(view.missing) == len(found)
    assert view.late <= view.collected
    for (known, noticed), one in zip(found, standings, strict=True):
        assert (one.standing in MISSING) == (known.stage == "open")
        assert one.late == (known.delivered is not None and known.delivered > EXPIRES)
        # A notice is told while nothing came, and forgotten for what came after it.
        assert (one.standing is Standing.UNDELIVERED) == (known.stage == "open" and noticed is not None)
        assert one.since is not None
        assert one.entry == {
            Standing.WAITING: LOGGED[1],
            Standing.UNDELIVERED: known.undelivered,
        }.get(one.standing, known.index)
    assert view.summary.startswith(f"{view.collected} of {len(found)} collected: ")
    assert ("late" in view.summary) == bool(view.late)
    assert ("not known here" in view.summary) == bool(unknown)
