"""The usual load, told by hand: what the tests of the checker falsify, one thing at a time."""

from dataclasses import replace

from countermark_protocol.boxes import Box
from countermark_protocol.encoding import encode_json
from countermark_protocol.handling import Classification
from countermark_protocol.receipts import ReceiptStage
from fault.checker import check
from fault.history import Action, Intent
from fault.scripted import Script
from support.world import BRUSSELS, KAMPALA, LYON, handling, signer


class Story:
    """The usual load, by hand: messages, repeats, refusals, receipts, pages, a notice."""

    def __init__(self):
        script = self.script = Script()
        world = self.world = script.world
        self.first, self.second = world.compose(), world.compose()
        self.broad = world.compose(BRUSSELS, [KAMPALA, LYON], type="lost-or-stolen-notice")
        self.brief = world.compose(expires_at=world.now + 1000)
        script.checkpoint()
        for sealed in (self.first, self.second, self.broad, self.brief):
            script.send(sealed)
        script.again(self.first)
        self.changed = world.compose(id=self.first.manifest.id)
        script.refuse_message(self.changed, Intent.CHANGED)
        self.forged = world.compose(signer=signer("a stranger"))
        self.forged_call = script.add(
            Action.MESSAGE,
            "/v1/messages",
            401,
            encode_json(
                {"type": "", "title": "", "status": 401, "code": "wrong_signer", "detail": "no", "hint": "no"}
            ),
            body=self.forged.data,
            intent=Intent.FORGED,
        )
        self.forbidden = world.compose(handling=secret_handling(world))
        script.refuse_message(self.forbidden, Intent.FORBIDDEN)
        self.size = world.state.size
        self.delivered = world.receipt(KAMPALA, [self.first, self.second])
        self.other = world.receipt(KAMPALA, [self.first])
        self.delivered_call = script.receipt(self.delivered, KAMPALA, [self.first, self.second])
        self.lost_race = script.refused(
            self.other, self.other, KAMPALA, Intent.GOOD, Action.RECEIPT, by=KAMPALA
        )
        script.receipt(world.receipt(KAMPALA, [self.first], ReceiptStage.ACCEPTED), KAMPALA)
        self.page = script.page(KAMPALA, Box.ROUTINE)
        self.end = script.page(KAMPALA, Box.ROUTINE, 4)
        self.path = script.consistency(self.size)
        script.denied(b"x" * 32)
        world.now = self.brief.manifest.expires_at + world.grace_ms
        script.notice(self.brief, KAMPALA)

    def find(self, final=None, now=0, **changes):
        return {v.kind for v in check(self.script.history(**changes), final or self.script.final(now))}

    def replace_call(self, call, **changes):
        self.script.calls[self.script.calls.index(call)] = replace(call, **changes)


def secret_handling(world):
    return handling(classification=Classification.SECRET, retention_until=world.now + 1000 * 86_400_000)
