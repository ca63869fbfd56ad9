"""A time stamp (RFC 3161) on the signature of a PDF: PAdES, level B-T, by an authority that the signer names.

The authority learns a digest and nothing else. Whether it is believed is for whoever validates the PDF. Needs the extra
``countermark-client[evidence]``.

Source: RFC 3161; ETSI EN 319 142-1.
"""

from __future__ import annotations

import asyncio
from typing import Final

import httpx
from asn1crypto import tsp  # type: ignore[import-untyped]
from pyhanko.sign.timestamps import TimeStamper

from countermark_protocol.encoding import malformed
from countermark_protocol.errors import ProofError, TransportError
from countermark_protocol.stamp_history import MAX_STAMP_BYTES
from countermark_protocol.timestamps import REPLY_TYPE, REQUEST_TYPE, check_granted

#: s for one answer in all.
_SECONDS: Final = 30.0
_OK: Final = 200


class PaperStamper(TimeStamper):
    """Asks one authority; pyHanko makes the question.

    Args:
        url: of the authority.
    """

    def __init__(self, url: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._url = url

    async def async_request_tsa_response(self, req: tsp.TimeStampReq) -> tsp.TimeStampResp:
        """One question.

        Raises:
            TransportError: ``tsa_away``, ``tsa_status``, ``tsa_type``, ``tsa_too_large`` or ``stamp_refused``.
            MalformedError: ``bad_stamp``.
            ProofError: ``stamp_nonce``, ``stamp_imprint``.
        """
        try:
            async with asyncio.timeout(_SECONDS):
                data = await self._post(req.dump())
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise TransportError(
                "tsa_away", f"no answer from the authority of time stamps: {error.__class__.__name__}"
            ) from error
        check_granted(data)
        try:
            answer = tsp.TimeStampResp.load(data, strict=True)
            info = answer["time_stamp_token"]["content"]["encap_content_info"]["content"].parsed.native
        except (ValueError, TypeError, KeyError, AttributeError):
            info = None
        if info is None:
            malformed("bad_stamp", "expected a TimeStampResp of RFC 3161 in DER")
        # pyHanko compares the nonce, but not what is stamped, and fails where it says what differs.
        if info["nonce"] != req["nonce"].native:
            raise ProofError(
                "stamp_nonce", "the stamp does not repeat the nonce of the question: it answers another"
            )
        if info["message_imprint"] != req["message_imprint"].native:
            raise ProofError("stamp_imprint", "the stamp is not on the digest of this signature")
        return answer

    async def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": REQUEST_TYPE, "Accept": REPLY_TYPE, "Accept-Encoding": "identity"}
        async with (
            httpx.AsyncClient(timeout=_SECONDS) as client,
            client.stream("POST", self._url, content=body, headers=headers) as response,
        ):
            if response.status_code != _OK:
                raise TransportError("tsa_status", f"expected status 200, got {response.status_code}")
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != REPLY_TYPE:
                raise TransportError("tsa_type", f"expected {REPLY_TYPE}, got '{kind[:80]}'")
            read = b""
            async for part in response.aiter_raw():
                read += part
                if len(read) > MAX_STAMP_BYTES:
                    raise TransportError(
                        "tsa_too_large", f"expected at most {MAX_STAMP_BYTES} bytes, got more"
                    )
            return read
