"""`countermark assistance`: needs, offers ranked for them, matches, and an overview that can be published."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from countermark_client.cli.common import FILE, FOLDER, Access, message_of, now, with_home, write_new
from countermark_client.cli.output import Result, command, say, short, table
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import NotFoundError, PolicyError

if TYPE_CHECKING:
    from countermark_client import Client, ConversationItem
    from countermark_client.assistance import Known, MatchState, RateTable
    from countermark_protocol.messages.assistance_match import AssistanceMatch

_STEPS: Final = ("consult", "accept", "decline", "delivered", "close")
_CODES: Final = {"consult": "CONSULTING", "accept": "ACCEPTED", "decline": "DECLINED", "delivered": "DELIVERED",
                 "close": "CLOSED"}  # fmt: skip
_MONEY: Final = 2

rates_option = click.option(
    "--rates",
    type=FILE,
    metavar="FILE",
    help="CSV with columns from, to, rate, source; without it sums in two currencies are not compared.",
)
consent_option = click.option(
    "--publish/--no-publish",
    "publish",
    default=False,
    show_default=True,
    help="Whether your side agrees that an overview counts the match.",
)


@click.group("assistance")
def assistance() -> None:
    """Match needs with resources: draft requests, rank offers, agree on matches, publish an overview.

    Requests and offers are messages, and are sent like any other. See docs/howto/assistance.md.
    """


def _today() -> dt.date:
    return dt.datetime.fromtimestamp(now() / 1000, dt.UTC).date()


def _rates(path: Path | None) -> RateTable | None:
    from countermark_client.assistance import read_rates  # noqa: PLC0415  here and below: loaded when asked for

    return read_rates(path.read_text("utf-8")) if path is not None else None


# --- needs -------------------------------------------------------------------------------------------


@assistance.command("needs")
@click.argument("path", type=FILE, metavar="FILE")
@click.option(
    "--common", type=FILE, required=True, metavar="FILE", help="Members that all requests share, as JSON."
)
@click.option("--out", type=FOLDER, required=True, metavar="DIR", help="Folder for the drafts.")
@command
def needs(path: Path, common: Path, out: Path) -> Result:
    """Draft a request for each gap of a self-assessment FILE (CSV or JSON), and list what is still to be written.

    Example:
      countermark assistance needs assessment-2026.csv --common state.json --out drafts
    """
    from countermark_client.assistance import draft_requests, read_assessment  # noqa: PLC0415

    rows = read_assessment(path.read_text("utf-8-sig"))
    drafts = draft_requests(rows, parse_object(common.read_bytes(), common.name))
    out.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    told: list[dict[str, Any]] = []
    for each in drafts:
        name = f"{each.row.number:02}-{each.row.area.lower()}.json"
        members: dict[str, Any] = {"row": each.row.number, "area": each.row.area}
        if each.document is None:
            lines.append(f"row {each.row.number} {each.row.area}: no draft: {each.why_not}")
            told.append({**members, "why_not": each.why_not})
            continue
        write_new(out / name, (json.dumps(each.document, indent=2, ensure_ascii=False) + "\n").encode())
        lines.append(
            f"row {each.row.number} {each.row.area}: {out / name}"
            + (", to be written:" if each.missing else ", complete")
        )
        lines += [f"  {field or '/'}: {expected}" for field, expected in each.missing]
        told.append(
            {
                **members,
                "file": str(out / name),
                "missing": [{"field": field, "expected": expected} for field, expected in each.missing],
            }
        )
    return Result(lines, drafts=told)


# --- ranking -----------------------------------------------------------------------------------------


def _states(items: list[ConversationItem]) -> dict[str, MatchState]:
    from countermark_client.assistance import fold_match, known_matches  # noqa: PLC0415

    return {root: fold_match(said, _today()) for root, said in known_matches(items).items()}


def _pick(known: Mapping[str, Known[Any]], message: bytes, what: str) -> Known[Any]:
    found = known.get(message.hex())
    if found is None:
        raise NotFoundError(
            "not_standing",
            f"{short(message)} is no {what} that stands here: superseded, withdrawn or not opened",
        )
    return found


def _taken(states: Mapping[str, MatchState], offers: Mapping[str, Known[Any]]) -> dict[str, int]:
    from countermark_client.assistance import committed  # noqa: PLC0415

    taken = committed(states.values())
    return {key: taken.get((each.speaker, each.content.offer_ref), 0) for key, each in offers.items()}


@assistance.command("match")
@click.argument("message_hash", metavar="REQUEST")
@rates_option
@with_home
@command
def match(message_hash: str, rates: Path | None, access: Access) -> Result:
    """Rank the offers that this profile holds for the request REQUEST, best first, with reasons.

    What cannot fit is listed with its reasons. Drill traffic is matched with drill traffic.

    Example:
      countermark assistance match 4be1c0ffee --rates rates.csv
    """
    from countermark_client.assistance import known_offers, known_requests, rank_offers  # noqa: PLC0415

    given = _rates(rates)
    with access.client() as client:
        wanted = message_of(client, message_hash)
        items = client.messages()
    request = _pick(known_requests(items), wanted, "request")
    offers = {k: each for k, each in known_offers(items).items() if each.exercise is request.exercise}
    ranking = rank_offers(
        request.content,
        {key: each.content for key, each in offers.items()},
        _today(),
        rates=given,
        committed=_taken(_states(items), offers),
    )
    shown: list[Any] = []
    told = []
    for place, (key, found) in enumerate(ranking.fits, 1):
        offer = offers[key]
        shown.append(
            f"{place}. {key[:16]}  {offer.content.offer_ref}  {offer.speaker}  {found.score.total} of 1000"
        )
        shown.append(
            table(("PART", "POINTS", "WHY"), ((p.criterion, p.points, p.reason) for p in found.parts))
        )
        told.append(
            {
                "message": key,
                "offer_ref": offer.content.offer_ref,
                "offeror": offer.speaker,
                "score": found.score.model_dump(by_alias=True),
                "covers": found.covers,
                "percent": found.percent,
                "parts": [{"part": p.criterion, "points": p.points, "reason": p.reason} for p in found.parts],
            }
        )
    left = [
        {"message": each.key, "offer_ref": offers[each.key].content.offer_ref, "reasons": list(each.reasons)}
        for each in ranking.left_out
    ]
    shown += [
        f"not: {each['message'][:16]}  {each['offer_ref']}: {'; '.join(each['reasons'])}" for each in left
    ]
    return Result(shown or ["no offers"], request=wanted.hex(), offers=told, left_out=left)


# --- matches -----------------------------------------------------------------------------------------


def _send(
    client: Client, content: AssistanceMatch, to: list[str], *, reply_to: bytes | None, exercise: bool
) -> Result:
    sent = client.send("assistance-match", content, to, in_reply_to=reply_to, exercise=exercise, visible=True)
    return Result(
        [f"sent: {short(sent.message)} ({content.step}) to {', '.join(sent.recipients)}"],
        message=sent.hash,
        step=content.step.value,
        conversation=sent.conversation.hex(),
        recipients=list(sent.recipients),
    )


@assistance.command("propose")
@click.argument("request_hash", metavar="REQUEST")
@click.argument("offer_hash", metavar="OFFER")
@click.option("--ref", "match_ref", required=True, metavar="REF", help="The match's reference.")
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), required=True, metavar="DAY", help="Last day to accept."
)
@rates_option
@consent_option
@click.option("--check", is_flag=True, help="Show the proposal; send nothing.")
@with_home
@command
def propose(
    request_hash: str,
    offer_hash: str,
    match_ref: str,
    until: dt.datetime,
    rates: Path | None,
    publish: bool,
    check: bool,
    access: Access,
) -> Result:
    """Propose to match REQUEST with OFFER, to whom of its two parties this profile is not.

    What is covered and what stays open is computed; a party that proposes accepts its own terms.
    --check shows it first.

    Example:
      countermark assistance propose 4be1c0ff 90ab12cd --ref M-2026-4 --until 2026-09-30 --publish
    """
    from countermark_client import assistance as rules  # noqa: PLC0415
    from countermark_protocol.codes.assistance import MatchProposer  # noqa: PLC0415
    from countermark_protocol.registry import content_document  # noqa: PLC0415

    given = _rates(rates)
    with access.client() as client:
        items = client.messages()
        request = _pick(rules.known_requests(items), message_of(client, request_hash), "request")
        offers = rules.known_offers(items)
        offer = _pick(offers, message_of(client, offer_hash), "offer")
        if request.exercise is not offer.exercise:
            raise PolicyError("no_match", "drill traffic is matched with drill traffic only")
        states = _states(items)
        _warn_of_pair(states, request, offer)
        taken = _taken(states, offers)[offer.message]
        found = rules.fit(request.content, offer.content, _today(), rates=given, committed=taken)
        own = str(client.profile.address)
        quality = {request.speaker: MatchProposer.BENEFICIARY, offer.speaker: MatchProposer.DONOR}
        content = rules.propose(
            request.content,
            request.speaker,
            offer.content,
            offer.speaker,
            found,
            match_ref=match_ref,
            by=quality.get(own, MatchProposer.SECRETARIAT),
            answer_until=until.date(),
            overview_consent=publish,
        ).model_copy(update={"request_message": request.message_id, "offer_message": offer.message_id})
        if check:
            document = content_document(content)
            return Result([json.dumps(document, indent=2, ensure_ascii=False)], content=document)
        to = [each for each in (request.speaker, offer.speaker) if each != own]
        return _send(client, content, to, reply_to=None, exercise=request.exercise)


def _warn_of_pair(states: Mapping[str, MatchState], request: Known[Any], offer: Known[Any]) -> None:
    """The same pair is proposed once; again only for a reason that people have."""
    pair = (request.speaker, request.content.request_ref, offer.speaker, offer.content.offer_ref)
    for root, state in states.items():
        said = state.first.content if state.first is not None else None
        if said is not None and (said.requester, said.request_ref, said.offeror, said.offer_ref) == pair:
            say(f"warning: this pair was proposed before: {root[:16]} is {state.standing.value}")


@assistance.command("say")
@click.argument("message_hash", metavar="MATCH")
@click.argument("step", type=click.Choice(_STEPS))
@click.option(
    "--proposal", metavar="HASH", help="Which proposal to accept. [default: the newest that is open]"
)
@click.option("--note", metavar="TEXT", help="In words; what to talk about, or with close what came of it.")
@click.option(
    "--reason", metavar="CODE", help="With decline: FUNDS, ELIGIBILITY, POLICY, OVERLAP, NO_ANSWER, OTHER."
)
@click.option(
    "--value", metavar="AMOUNT:CURRENCY", help="With delivered or close: what was given, e.g. 150000:EUR."
)
@consent_option
@with_home
@command
def say_step(
    message_hash: str,
    step: str,
    proposal: str | None,
    note: str | None,
    reason: str | None,
    value: str | None,
    publish: bool,
    access: Access,
) -> Result:
    """Take a STEP in the conversation MATCH, for your own side: consult, accept, decline, delivered, close.

    Nobody accepts for another: a match is agreed once both sides have. A step that would count for nothing is not sent.

    Examples:
      countermark assistance say 77d2e31c accept --publish
      countermark assistance say 77d2e31c decline --reason FUNDS
    """
    from countermark_client import assistance as rules  # noqa: PLC0415
    from countermark_protocol.codes.assistance import DeclineReason, MatchStep  # noqa: PLC0415

    if (step == "decline") != (reason is not None):
        raise click.UsageError("--reason goes with decline, and decline with --reason")
    if reason is not None and reason not in {each.value for each in DeclineReason}:
        raise click.UsageError(f"--reason is one of {', '.join(DeclineReason)}")
    if step in {"consult", "close"} and note is None:
        raise click.UsageError(f"{step} needs --note")
    if value is not None and step not in {"delivered", "close"}:
        raise click.UsageError("--value goes with delivered or close")
    given = _money(value)
    with access.client() as client:
        items = client.messages()
        wanted = message_of(client, message_hash)
        root, exercise = _root(items, wanted)
        state = _states(items).get(root.hex())
        if state is None or state.first is None:
            raise NotFoundError("not_standing", f"{short(wanted)} is of no match that this profile can read")
        accepted = message_of(client, proposal) if proposal is not None else None
        replied = accepted.hex() if accepted is not None else _newest(state)
        own = str(client.profile.address)
        content = rules.step_content(
            state,
            own,
            MatchStep(_CODES[step]),
            in_reply_to=replied,
            overview_consent=publish,
            note=note if step != "close" else None,
            decline_reason=DeclineReason(reason) if reason is not None else None,
            delivered_value=given,
            evaluation_note=note if step == "close" else None,
        )
        speakers = {each.speaker for each in state.history} | set(state.parties)
        to = sorted(speakers - {own})
        return _send(client, content, to, reply_to=bytes.fromhex(replied), exercise=exercise)


def _root(items: list[ConversationItem], wanted: bytes) -> tuple[bytes, bool]:
    for item in items:
        if item.message == wanted:
            return item.manifest.conversation or item.message, item.manifest.exercise
    raise NotFoundError("unknown_message", "this profile holds no message of that hash")


def _newest(state: MatchState) -> str:
    """What a step replies to: the newest proposal that is open, else the newest message."""
    return state.open_proposals[-1] if state.open_proposals else state.history[-1].message


def _money(text: str | None) -> Any:
    from countermark_protocol.messages.money import Money  # noqa: PLC0415

    if text is None:
        return None
    parts = text.split(":")
    whole = len(parts) == _MONEY and parts[0].isascii() and parts[0].isdecimal() and len(parts[0]) <= 15
    if (
        not whole
        or not int(parts[0])
        or len(parts[1]) != 3
        or not (parts[1].isascii() and parts[1].isupper())
    ):
        raise click.UsageError("--value: expected AMOUNT:CURRENCY in whole units, e.g. 150000:EUR")
    return Money(currency=parts[1], amount=int(parts[0]))


@assistance.command("matches")
@with_home
@command
def matches(access: Access) -> Result:
    """List the matches that this profile holds, with what each is and who has accepted.

    Example:
      countermark assistance matches
    """
    from countermark_client.assistance._state import IGNORED  # noqa: PLC0415

    with access.client() as client:
        states = _states(client.messages())
    rows, told, notes = [], [], []
    for root, state in states.items():
        said = state.first.content if state.first is not None else None
        accepted = ", ".join(sorted(state.agreed_by))
        rows.append((root[:16], said.match_ref if said else "-", state.standing.value, accepted or "-"))
        told.append(
            {
                "conversation": root,
                "match_ref": said.match_ref if said else None,
                "standing": state.standing.value,
                "parties": list(state.parties),
                "agreed_by": dict(state.agreed_by),
                "open_proposals": list(state.open_proposals),
                "publishable": state.publishable,
                "ignored": [{"message": m, "why": w, "text": IGNORED[w]} for m, w in state.ignored],
            }
        )
        notes += [f"counts for nothing: {message[:16]}: {IGNORED[why]}" for message, why in state.ignored]
    shown: list[Any] = (
        [table(("MATCH", "REFERENCE", "STANDING", "ACCEPTED BY"), rows)] if rows else ["no matches"]
    )
    return Result([*shown, *notes], matches=told)


@assistance.command("overview")
@click.option("--out", type=FOLDER, metavar="DIR", help="Write JSON, CSV and Markdown files there.")
@with_home
@command
def overview(out: Path | None, access: Access) -> Result:
    """Count requests, offers and agreed matches of those who consent, as it may be published.

    It names nobody, and shows no number below 3. Who did not consent is left out; how many, is told here only.

    Example:
      countermark assistance overview --out overview-2026
    """
    from countermark_client import assistance as rules  # noqa: PLC0415
    from countermark_client.review._exports import write_files  # noqa: PLC0415

    with access.client() as client:
        items = client.messages()
    drills = {(i.manifest.conversation or i.message).hex() for i in items if i.manifest.exercise}
    states = [state for root, state in _states(items).items() if root not in drills]
    made = rules.make_overview(
        rules.known_requests(items).values(), rules.known_offers(items).values(), states
    )
    say(
        f"without consent, and left out: {made.requests_left_out} requests, {made.offers_left_out} offers, "
        f"{made.matches_left_out} agreed matches"
    )
    if out is None:
        return Result([made.markdown().rstrip("\n")], **made.to_json())
    files = made.files()
    write_files(out, files)
    return Result([f"written: {out / name}" for name in sorted(files)], **made.to_json())
