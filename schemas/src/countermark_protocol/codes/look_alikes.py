"""Letters of other scripts that look like Latin capitals, as they are typed and stamped in their place.

Source: Unicode Technical Standard 39 (confusables), capitals that are alike in the fonts of stamps; domain page 5.0.
"""

from __future__ import annotations

from typing import Final

#: Cyrillic A, Ve, Ie, Dze, Byelorussian I, Je, Ka, Em, En, O, Er, Es, Te, U, Ha.
_CYRILLIC: Final = dict(
    zip(
        "\u0410\u0412\u0415\u0405\u0406\u0408\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425",
        "ABESIJKMHOPCTYX",
        strict=True,
    )
)
#: Greek Alpha, Beta, Epsilon, Zeta, Eta, Iota, Kappa, Mu, Nu, Omicron, Rho, Tau, Upsilon, Chi.
_GREEK: Final = dict(
    zip(
        "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7",
        "ABEZHIKMNOPTYX",
        strict=True,
    )
)
#: Capital of another script → the Latin capital that it looks like.
LOOK_ALIKES: Final = str.maketrans({**_CYRILLIC, **_GREEK})


def to_latin(text: str) -> str:
    """A text in capitals with Latin letters in the place of their look-alikes."""
    return text.translate(LOOK_ALIKES)
