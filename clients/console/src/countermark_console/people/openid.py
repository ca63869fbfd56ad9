"""Signing in at an OpenID Connect provider: authorization code flow with PKCE.

Source: OpenID Connect Core 1.0 §3.1; RFC 7636 (S256); RFC 9207 (issuer in the answer); RFC 9700.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from authlib.common.urls import add_params_to_uri  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]

from countermark_console.clock import MINUTE, Clock
from countermark_console.config import Settings
from countermark_console.errors import SignInError
from countermark_console.people.id_tokens import account_name, verify_id_token
from countermark_console.texts import N_

#: Path of this console to which the provider sends browsers back.
RETURN_PATH: Final = "/sign-in/provider/return"
_PATIENCE_S: Final = 10.0
_LIVES: Final = 10 * MINUTE
#: Sign-ins under way at once; the oldest give way.
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in under way.

    Attributes:
        state: binds the provider's answer to this browser.
        nonce: binds the ID token to this sign-in.
        verifier: of PKCE.
        redirect: URI that the provider sends the browser back to.
        then: path of the console to go on with.
        at: ms since 1970.
    """

    state: str
    nonce: str
    verifier: str
    redirect: str
    then: str
    at: int


class OpenIdConnect:
    """A client of one provider.

    Args:
        settings: issuer, client id, secret's file, claim.
        clock: ms since 1970.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._begun: dict[str, Begun] = {}
        self._lock = threading.Lock()

    @property
    def enabled(self) -> bool:
        """Whether there is a provider."""
        return bool(self._settings.oidc_issuer)

    def begin(self, origin: str, then: str) -> tuple[str, str]:
        """Begin a sign-in.

        Args:
            origin: of this console, as the browser knows it.
            then: path to go on with.

        Returns:
            Where the browser is sent, and the value of the cookie that it brings back.

        Raises:
            SignInError: ``provider_away``.
        """
        provider = self._discover()
        handle = secrets.token_urlsafe(32)
        begun = Begun(
            secrets.token_urlsafe(24),
            secrets.token_urlsafe(24),
            secrets.token_urlsafe(48),
            origin + RETURN_PATH,
            then,
            self._clock(),
        )
        with self._lock:
            self._begun[handle] = begun
            for old in list(self._begun)[:-_MOST]:
                del self._begun[old]
        url: str = add_params_to_uri(
            provider["authorization_endpoint"],
            {
                "response_type": "code",
                "client_id": self._settings.oidc_client_id,
                "redirect_uri": begun.redirect,
                "scope": "openid" if self._settings.oidc_claim == "sub" else "openid email profile",
                "state": begun.state,
                "nonce": begun.nonce,
                "code_challenge": create_s256_code_challenge(begun.verifier),
                "code_challenge_method": "S256",
            },
        )
        return url, handle

    def finish(self, handle: str, answer: dict[str, str]) -> tuple[str, str]:
        """Finish a sign-in: each can be finished once.

        Args:
            handle: value of the cookie.
            answer: query of the provider's redirect.

        Returns:
            The claim that names the account, and the path to go on with.

        Raises:
            SignInError: the answer proves nothing.
        """
        with self._lock:
            begun = self._begun.pop(handle, None)
        state = answer.get("state", "")
        if (
            begun is None
            or self._clock() - begun.at >= _LIVES
            or not hmac.compare_digest(state.encode(), begun.state.encode())
        ):
            raise SignInError(
                "no_such_sign_in", N_("That sign-in was not begun here, or too long ago: try again")
            )
        if (
            answer.get("iss", self._settings.oidc_issuer) != self._settings.oidc_issuer
            or "code" not in answer
        ):
            raise SignInError("provider_refused", N_("The sign-in service did not let you in"))
        provider = self._discover()
        token = self._exchange(provider["token_endpoint"], answer["code"], begun)
        claims = verify_id_token(
            token,
            self._fetch(provider["jwks_uri"]),
            issuer=self._settings.oidc_issuer,
            client_id=self._settings.oidc_client_id,
            nonce=begun.nonce,
            now=self._clock(),
        )
        return account_name(claims, self._settings.oidc_claim), begun.then

    def _discover(self) -> dict[str, Any]:
        issuer = self._settings.oidc_issuer
        found = self._fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        wanted = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        secure = issuer.startswith("https://")
        if found.get("issuer") != issuer or not all(
            isinstance(found.get(name), str) and (not secure or urlsplit(found[name]).scheme == "https")
            for name in wanted
        ):
            raise SignInError("provider_away", N_("The sign-in service does not answer as it should"))
        return found

    def _exchange(self, url: str, code: str, begun: Begun) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": begun.redirect,
            "code_verifier": begun.verifier,
            "client_id": self._settings.oidc_client_id,
        }
        path = self._settings.oidc_client_secret_file
        auth = (
            httpx.BasicAuth(self._settings.oidc_client_id, path.read_text(encoding="utf-8").strip())
            if path is not None
            else None
        )
        token = self._ask("POST", url, data=form, auth=auth).get("id_token")
        if not isinstance(token, str):
            raise SignInError("provider_refused", N_("The sign-in service did not let you in"))
        return token

    def _fetch(self, url: str) -> dict[str, Any]:
        return self._ask("GET", url)

    @staticmethod
    def _ask(method: str, url: str, **options: Any) -> dict[str, Any]:
        try:
            answer = httpx.request(method, url, timeout=_PATIENCE_S, follow_redirects=False, **options)
            parsed = answer.json() if answer.is_success else None
        except (httpx.HTTPError, ValueError):
            parsed = None
        if not isinstance(parsed, dict):
            raise SignInError("provider_away", N_("The sign-in service does not answer as it should"))
        return parsed
