"""Whatever a witness is asked, in whatever order, by whatever clock: what it has cosigned is one history."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.tlog_witness import encode_add_checkpoint, parse_answer, verify_answer
from countermark_witness.judge import CLOCK_TOLERANCE_S, Finding
from countermark_witness.service import Witness
from countermark_witness.store import Store
from support.examples import tried
from support.witnesses import KINDS, ORIGIN, TIME, checkpoint, cosigner, note_key, proof, raw_checkpoint

COSIGNERS = tuple(cosigner("witness.example/w1", kind) for kind in KINDS)
SIZES = st.integers(0, 9)
#: (old size, size, branch, size that the proof is for, seconds that pass)
ASKED = st.tuples(
    st.none() | SIZES, SIZES, st.sampled_from(["", "b"]), st.none() | SIZES, st.integers(-8, 60)
)


@tried(60)
@given(st.lists(ASKED, min_size=1, max_size=30))
def test_one_history_is_cosigned(asked):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "witness.db"
        Store.create(path)
        store = Store(path)
        with store.transaction() as transaction:
            transaction.add_log(note_key())
        now = [TIME]
        witness = Witness(store, COSIGNERS, lambda: now[0])
        history, forked, latest = [], False, 0
        for old, size, branch, proven, passed in asked:
            now[0] += passed
            held = history[-1] if history else (0, checkpoint(0).root)
            begin = held[0] if old is None else old
            path_from = begin if proven is None else proven
            if begin > size:
                continue
            way = proof(path_from, size, branch) if path_from <= size else []
            answer = witness.add_checkpoint(encode_add_checkpoint(begin, way, raw_checkpoint(size, branch)))
            offered = (size, checkpoint(size, branch).root)
            forked |= bool(history) and offered[0] == held[0] and offered[1] != held[1]
            if answer.status == 409:
                assert begin != held[0]
                assert answer.body == b"%d\n" % held[0]
            elif answer.status == 503:
                assert now[0] < latest - CLOCK_TOLERANCE_S
            elif answer.status == 200:
                verified = verify_answer(
                    checkpoint(size, branch), parse_answer(200, "", answer.body), [c.key for c in COSIGNERS]
                )
                (time,) = {v.time for v in verified}
                assert time == max(now[0], latest)
                latest = time
                assert begin == held[0] <= size
                # The tree held is the beginning of this one: that is known here, without any proof.
                assert held[1] == checkpoint(held[0], branch).root
                history.append(offered)
            else:
                assert answer.status == 422
        with store.transaction() as transaction:
            assert forked == any(e.evidence.finding is Finding.FORK for e in transaction.evidence())
            kept = transaction.state(ORIGIN).log.held
        assert (kept and (kept.size, kept.root)) == (history[-1] if history else None)
        assert len({size for size, _ in history}) == len(set(history))
        store.close()
