"""Whether an ID token says who somebody is: one pure decision about signed bytes.

Source: OpenID Connect Core 1.0 §3.1.3.7; RFC 8725 (algorithms chosen here, not by the token).
"""

from __future__ import annotations

from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from countermark_console.clock import SECOND
from countermark_console.errors import SignInError
from countermark_console.texts import N_

#: Signatures by a key that only the provider has: no MAC, never "none".
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384", "Ed25519", "EdDSA")
#: Seconds by which the provider's clock may differ.
LEEWAY_S: Final = 60
#: A token made longer ago is refused even where it says that it lives on.
OLDEST_S: Final = 600


def verify_id_token(
    token: str, keys: dict[str, Any], *, issuer: str, client_id: str, nonce: str, now: int
) -> dict[str, Any]:
    """The claims of an ID token.

    Args:
        token: compact JWS, as the token endpoint gave it.
        keys: JSON Web Key Set of the provider.
        issuer: that must have made it.
        client_id: for whom it must have been made.
        nonce: of this sign-in.
        now: ms since 1970.

    Raises:
        SignInError: ``bad_id_token``.
    """
    seconds = now // SECOND
    try:
        decoded = jwt.decode(token, KeySet.import_key_set(keys), algorithms=list(ALGORITHMS))  # type: ignore[arg-type]
        registry = jwt.JWTClaimsRegistry(
            now=seconds,
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        registry.validate(decoded.claims)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise _refused(type(error).__name__) from error
    claims = decoded.claims
    audience = claims["aud"]
    if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != client_id:
        raise _refused("azp")
    if not isinstance(claims["iat"], int | float) or seconds - claims["iat"] > OLDEST_S:
        raise _refused("iat")
    return dict(claims)


def _refused(why: str) -> SignInError:
    return SignInError(
        "bad_id_token", N_("The sign-in service's answer does not prove who you are: try again"), why=why
    )


def account_name(claims: dict[str, Any], claim: str) -> str:
    """What an account is looked up by.

    Args:
        claims: verified.
        claim: of them; an e-mail address counts only where the provider has verified it.

    Raises:
        SignInError: ``no_claim``.
    """
    value = claims.get(claim)
    if (
        not isinstance(value, str)
        or not value
        or (claim == "email" and claims.get("email_verified") is not True)
    ):
        raise SignInError("no_claim", N_("The sign-in service does not say who you are"), claim=claim)
    return value
