"""Reports on arbitrary small mirrors: what is counted adds up, and no audience sees a small number of others."""

from hypothesis import given
from hypothesis import strategies as st

from countermark_client.review import Traffic, make_report, parse_period
from support.examples import tried
from support.mirrors import DAY, HOUR, HandMade, at

BEGIN = at("2026-04-20")
PARTIES = ("ke.police.a", "ke.contact.b", "ug.contact.c", "tz.contact.d", "be.contact.e")
YEAR = parse_period("2026", None)
LISTS = ("multicasts", "overdue", "delivery_times", "response_times")
FATES = ("open", "delivered", "accepted", "rejected", "undelivered")

messages = st.lists(
    st.tuples(
        st.sampled_from(PARTIES),
        st.sets(st.sampled_from(PARTIES), min_size=1, max_size=3),
        st.integers(0, 90),
        st.sampled_from(("tracing-request", "trade-route-alert", "confiscation-notice")),
        st.sampled_from(FATES),
        st.sampled_from((None, "paused", "interim", "final")),
    ),
    max_size=40,
)


def mirror_of(sent):
    made = HandMade()
    for sender, to, day, kind, fate, stage in sorted(sent, key=lambda m: m[2]):
        recipients = sorted(to - {sender}) or ["be.contact.f"]
        time = BEGIN + day * DAY
        message = made.message(sender, recipients, time, kind)
        first = recipients[0]
        if fate == "undelivered":
            made.undelivered(message, first, time + 31 * DAY)
        elif fate != "open":
            made.delivered(message, first, time + HOUR)
            if fate != "delivered":
                made.settled(
                    message, first, time + 2 * HOUR, fate, "not_for_us" if fate == "rejected" else None
                )
            if stage is not None and kind == "tracing-request":
                made.answer(first, message, time + 9 * HOUR, stage, [sender], outcome=(1, 0, 2, 0))
    made.leaf(at("2027-01-01"))
    return made


def tables(made, audience):
    report = make_report(made.mirror, YEAR, Traffic.REAL, audience=audience)
    return {t.name: t for t in report.tables if not t.name.startswith(LISTS)}


@tried(60)
@given(messages)
def test_what_is_counted_adds_up_and_parts_are_the_whole(sent):
    made = mirror_of(sent)
    everything, kenya = tables(made, "auditor"), tables(made, "ke")
    count = made.database.execute("SELECT count(*) FROM messages").fetchone()[0]
    pairs = made.database.execute("SELECT count(*) FROM deliveries").fetchone()[0]
    totals = {name: table.rows[-1][-1] if table.rows else 0 for name, table in everything.items()}
    assert totals["messages_by_month"] == totals["messages_by_sender"] == count
    assert totals["deliveries"] == totals["pairs"] == pairs
    assert totals["traces"] == totals["acknowledgements"]
    for table in everything.values():
        for row in table.rows:
            assert sum(row[1:-1]) == row[-1]
        for column in list(zip(*table.rows, strict=True))[1:]:
            assert sum(column[:-1]) == column[-1]
    for name in ("messages_by_month", "deliveries", "traces", "outcomes"):
        own, others = kenya[f"{name}_own"], kenya[f"{name}_others"]
        rest = totals[name] - (own.rows[-1][-1] if own.rows else 0)
        if others.rows:
            assert others.rows[-1][-1] == rest
        else:
            assert 0 <= rest < 5
    made.mirror.close()


@tried(60)
@given(messages)
def test_third_parties_see_no_small_number_of_others(sent):
    made = mirror_of(sent)
    public, kenya = tables(made, "public"), tables(made, "ke")
    seen = [*public.values(), *(table for name, table in kenya.items() if name.endswith("_others"))]
    for table in seen:
        for row in table.rows:
            assert all(v is None or v == 0 or v >= 5 for v in row[1:]), table.name
    # Tables that share column totals show them alike, so neither says more of the other's cells.
    by_month, by_sender = public["messages_by_month"], public["messages_by_sender"]
    assert by_month.columns[1:] == by_sender.columns[1:]
    assert by_month.rows[-1:] == by_sender.rows[-1:]
    made.mirror.close()
