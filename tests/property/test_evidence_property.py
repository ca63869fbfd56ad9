"""Evidence with one byte changed is refused, or says what it said before."""

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.errors import CountermarkError
from countermark_protocol.evidence_checks import verify_evidence
from countermark_protocol.parts import split_content
from support.evidence import disclose, evidence_of
from support.examples import tried
from support.protocol_world import make_world
from support.world import KAMPALA, LYON, NAIROBI

CONTENT = {"note": "an exercise", "items": [{"serial": str(i)} for i in range(3)]}


@cache
def original():
    world = make_world()
    message = world.send(NAIROBI, (KAMPALA, LYON), content=CONTENT)
    world.accept(KAMPALA, message)
    size = world.state.size
    disclosed = disclose(world, message, split_content(CONTENT), {"/items/1"})
    data = evidence_of(world, message, earlier=size, disclosed=[disclosed])
    return data, verify_evidence(data)


@tried(400)
@given(st.data())
def test_any_byte_changed_is_refused_or_changes_no_claim(data):
    whole, proven = original()
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != whole[at]))
    try:
        changed = verify_evidence(whole[:at] + bytes([byte]) + whole[at + 1 :])
    except CountermarkError:
        return
    assert changed == proven


@tried(60)
@given(st.data())
def test_evidence_cut_anywhere_is_refused(data):
    whole, _ = original()
    at = data.draw(st.integers(0, len(whole) - 1))
    try:
        verify_evidence(whole[:at])
    except CountermarkError:
        return
    raise AssertionError(at)
