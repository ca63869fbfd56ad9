"""What an adversarial reading of the decision found."""

from countermark_protocol.errors import PolicyError
from countermark_protocol.identifiers import Role
from countermark_protocol.records import State
from support.protocol_world import make_world
from support.world import NAIROBI


def test_a_drill_replaces_no_real_message_and_none_replaces_it():
    """Else a client that shows the newest version would hide a real message behind an exercise."""
    world = make_world()
    real, drill = world.send(exercise=False), world.send(exercise=True)
    world.refuse(world.compose(supersedes=real.payload_hash, exercise=True), PolicyError, "exercise_mismatch")
    world.refuse(
        world.compose(supersedes=drill.payload_hash, exercise=False), PolicyError, "exercise_mismatch"
    )
    world.put(world.compose(supersedes=real.payload_hash, exercise=False))
    world.put(world.compose(supersedes=drill.payload_hash, exercise=True))


def test_an_authority_may_suspend_what_its_mandate_no_longer_covers():
    """Narrowing a mandate must not take away the one way to end an endpoint that was enrolled under it."""
    world = make_world()
    world.put(world.authority_statement("ke", roles=[Role.CUSTOMS]))
    world.refuse(world.endpoint_statement(NAIROBI), PolicyError, "outside_mandate")
    world.refuse(
        world.endpoint_statement("ke.police.mombasa", State.SUSPENDED), PolicyError, "outside_mandate"
    )
    world.put(world.endpoint_statement(NAIROBI, State.SUSPENDED))
    assert world.state.directory.endpoint(NAIROBI) is None
    world.refuse(world.endpoint_statement(NAIROBI), PolicyError, "outside_mandate")
