"""A disclosed attachment: its descriptor in the disclosure, the file beside it, and nothing else taken for either."""

from dataclasses import replace

import pytest

from countermark_protocol.attachments import SealedAttachment
from countermark_protocol.descriptors import AttachmentDescriptor
from countermark_protocol.disclosure import (
    encode_disclosure,
    parse_disclosed,
    shown_attachment,
    shown_attachments,
    verify_shown,
    verify_shown_file,
)
from countermark_protocol.errors import CountermarkError, MalformedError, ProofError, SealError
from countermark_protocol.parts import Part, disclose_parts
from countermark_protocol.sealing import open_content, seal_content
from support.protocol_world import make_world
from support.world import KAMPALA, NAIROBI

WORLD = make_world()
FILES = {"left.jpg": b"left side", "right.jpg": b"right side"}
MESSAGE = WORLD.compose(NAIROBI, [KAMPALA], files=FILES)
PARTS = open_content(MESSAGE.content, MESSAGE.secrets, MESSAGE.manifest.content)


def shown(*names, message=MESSAGE, parts=PARTS):
    data = encode_disclosure(
        message.document, disclose_parts(parts, message.secrets.opener, frozenset(names))
    )
    return verify_shown(parse_disclosed(data))


def refused(error, code, function, *args):
    with pytest.raises(CountermarkError) as caught:
        function(*args)
    assert (type(caught.value), caught.value.code) == (error, code)


def test_a_file_is_shown_with_its_descriptor():
    one = shown("attachment:1", "/note")
    assert shown_attachments(one) == (1,)
    assert "attachment:0" in one.closed
    described = verify_shown_file(one, 1, [b"right", b" side"])
    assert described == MESSAGE.attached[1].descriptor == shown_attachment(one, 1)
    assert shown_attachments(shown("/note")) == ()


def test_files_that_are_not_the_ones_shown():
    one = shown("attachment:1")
    refused(SealError, "file_mismatch", verify_shown_file, one, 1, [b"left side"])
    refused(SealError, "file_mismatch", verify_shown_file, one, 1, [b"right sidf"])
    refused(ProofError, "attachment_not_shown", verify_shown_file, one, 0, [b"left side"])
    refused(ProofError, "attachment_not_shown", verify_shown_file, one, 2, [b"left side"])


DESCRIBED = AttachmentDescriptor(bytes(32), 200, "a", "text/plain").encode()


@pytest.mark.parametrize(
    ("error", "code", "data", "attachments"),
    [
        (MalformedError, "missing_member", b"{}", (328,)),
        (MalformedError, "not_an_object", b"7", (328,)),
        (SealError, "attachment_count", DESCRIBED, ()),
        (SealError, "attachment_size", DESCRIBED, (344,)),
    ],
)
def test_what_a_sender_committed_to_is_shown_whatever_it_is_and_what_is_wrong_is_said(
    error, code, data, attachments
):
    """A court may have to see that a message was spoilt, so the disclosure of one stands."""
    parts = (Part("/note", b'"n"'), Part("attachment:0", data))
    _, content = seal_content(parts, MESSAGE.secrets, bytes(24))
    named = tuple(SealedAttachment(bytes(32), size) for size in attachments)
    json = replace(MESSAGE.manifest, content=content, attachments=named).to_json()
    spoilt = WORLD.resigned(MESSAGE, WORLD.agencies[NAIROBI].instance, payload=json)
    refused(error, code, shown_attachment, shown("attachment:0", message=spoilt, parts=parts), 0)


def test_names_that_a_sender_made_up_name_no_attachment():
    parts = (Part("attachment:00", b"{}"), Part("attachment:0", DESCRIBED), Part("attachment:x", b"1"))
    _, content = seal_content(parts, MESSAGE.secrets, bytes(24))
    json = replace(MESSAGE.manifest, content=content).to_json()
    spoilt = WORLD.resigned(MESSAGE, WORLD.agencies[NAIROBI].instance, payload=json)
    one = shown(*(p.name for p in parts), message=spoilt, parts=parts)
    assert shown_attachments(one) == (0,)
