"""What HTTP says of an answer's coding, for those who serve by C2SP tlog-tiles.

Source: RFC 9110 §12.5.3.
"""

from __future__ import annotations


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client takes gzip.

    Args:
        accept_encoding: the header; empty if there is none, which here means: no.

    Source: RFC 9110 §12.5.3; a coding named counts before ``*``, and a weight of 0 means: not this one.
    """
    weights: dict[str, bool] = {}
    for item in accept_encoding.lower().split(","):
        coding, *parameters = (part.strip() for part in item.split(";"))
        weight = next(
            (p.partition("=")[2].strip() for p in parameters if p.partition("=")[0].strip() == "q"), "1"
        )
        weights[coding] = weight.strip("0.") != ""
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))
