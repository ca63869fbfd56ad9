"""The agency's own log: chained, verified, and telling where somebody has meddled with it."""

from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, update

from countermark_console.agency_log.chain import Head, chain, parse_head, verify_chain
from countermark_console.cli import main
from countermark_console.errors import ChainError
from countermark_console.store.tables import agency_log
from support.examples import tried


def entries(texts):
    head, out = Head(), []
    for number, (who, what, object_, detail) in enumerate(texts):
        out.append(chain(head, number, who, what, object_, detail))
        head = Head(out[-1].number, out[-1].hash)
    return out


WORDS = st.text(st.characters(codec="utf-8"), max_size=8)
TEXTS = st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS), min_size=1, max_size=6)


@tried(60)
@given(TEXTS, st.data())
def test_every_change_removal_and_exchange_shows(texts, data):
    written = entries(texts)
    head = verify_chain(written)
    assert verify_chain(written, head) == head
    at = data.draw(st.integers(0, len(written) - 1))
    one = written[at]
    for changed in (
        replace(one, at=one.at + 1),
        replace(one, who=one.who + "x"),
        replace(one, what="x" + one.what),
        replace(one, object=one.what, what=one.object + "!"),
        replace(one, detail=one.detail + "\0"),
        replace(one, hash=bytes(32)),
    ):
        with pytest.raises(ChainError):
            verify_chain([*written[:at], changed, *written[at + 1 :]])
    with pytest.raises(ChainError):
        verify_chain([*written[:at], *written[at + 1 :]], head)
    with pytest.raises(ChainError):
        verify_chain(written[::-1] if len(written) > 1 else [], head)


def test_fields_do_not_run_into_each_other():
    assert chain(Head(), 0, "ab", "c", "", "").hash != chain(Head(), 0, "a", "bc", "", "").hash


def test_heads_are_read_as_they_are_written():
    head = Head(17, bytes(range(32)))
    assert parse_head(f" {head}\n") == head
    for text in ("", "17", "17:", "x:00", "-1:" + "00" * 32, "1:" + "00" * 31):
        with pytest.raises(ChainError):
            parse_head(text)


MEDDLING = {
    "entry_changed": lambda: update(agency_log).where(agency_log.c.number == 2).values(who="nobody"),
    "entry_missing": lambda: delete(agency_log).where(agency_log.c.number == 2),
    "entries_removed": lambda: delete(agency_log).where(agency_log.c.number > 2),
}


@pytest.mark.parametrize("code", MEDDLING)
def test_meddling_with_the_table_is_told_by_page_and_command(browser, code, tmp_path):
    browser.sign_in("ada")
    assert "Whole" in browser.get("/agency-log").text
    home = browser.console.settings.home
    whole = CliRunner().invoke(main, ["verify-log", "--home", str(home)])
    assert (whole.exit_code, "whole: " in whole.output) == (0, True)
    with browser.console.database.write() as connection:
        connection.execute(MEDDLING[code]())
    assert "The log is not what was written to it" in browser.get("/agency-log").text
    told = CliRunner().invoke(main, ["verify-log", "--home", str(home)])
    assert (told.exit_code, code in told.output) == (1, True)


def test_a_head_that_was_written_down_shows_a_log_begun_anew(console, tmp_path):
    console.log.write("ada", "sign-in")
    kept = console.log.verify()
    with console.database.write() as connection:
        connection.execute(delete(agency_log))
    (console.settings.home / "agency-log.head").unlink()
    console.log.write("eve", "sign-in")
    assert console.log.verify().number == 1
    with pytest.raises(ChainError) as told:
        console.log.verify(kept)
    assert told.value.code == "other_history"


def test_what_is_done_and_its_entry_stand_together_or_not_at_all(console):
    def interrupted():
        with console.log.transaction() as recording:
            recording.write("ada", "sign-in")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert console.log.entries() == []
    assert console.log.verify() == Head()


def test_entries_are_shown_to_auditors_and_administrators_alone(browser):
    browser.sign_in("otto")
    assert browser.get("/agency-log").status_code == 403
    assert "Agency&#39;s log" not in browser.get("/").text
    browser.post("/sign-out")
    browser.sign_in("ada")
    for _ in range(60):
        browser.console.log.write("<script>", "sign-in", "<i>", "&")
    shown = browser.get("/agency-log")
    assert "&lt;script&gt;" in shown.text
    assert "<i>" not in shown.text
    assert "Older entries" in shown.text
    assert (
        "sign-in"
        not in browser.get("/agency-log", params={"who": "ada"}).text.split("<tbody")[1].split("signed in")[0]
    )
