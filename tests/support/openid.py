"""A small OpenID Connect provider on a port of its own: authorization code flow with PKCE, tokens signed with ES256."""

import base64
import hashlib
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey


class Provider:
    """Who signs in there is whoever `claims` says.

    Attributes:
        issuer: URL.
        claims: added to, or in place of, those of the next token.
        key: that signs it; `published` is the one in the key set.
        header: of the token.
    """

    def __init__(self, client_id):
        self.client_id = client_id
        self.key = self.published = ECKey.generate_key("P-256", {"kid": "one"})
        self.claims = {}
        self.header = {"alg": "ES256", "kid": "one"}
        self.codes = {}
        self.now = 0
        handler = type("Handler", (_Handler,), {"provider": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def authorize(self, url):
        """What a person does at the provider; where the browser is sent back to."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert query["client_id"] == self.client_id
        code = secrets.token_urlsafe(8)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state'], 'iss': self.issuer})}"

    def exchange(self, form):
        query = self.codes.pop(form["code"])
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == query["code_challenge"]
        assert form["redirect_uri"] == query["redirect_uri"]
        claims = {
            "iss": self.issuer,
            "aud": self.client_id,
            "sub": "person-1",
            "nonce": query["nonce"],
            "iat": self.now,
            "exp": self.now + 300,
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return {
            "access_token": "x",
            "token_type": "Bearer",
            "id_token": jwt.encode(self.header, claims, self.key),
        }


class _Handler(BaseHTTPRequestHandler):
    provider = None

    def log_message(self, *_args):
        pass

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        one = self.provider
        if self.path == "/keys":
            self.answer({"keys": [one.published.as_dict(private=False)]})
        else:
            ends = {name: f"{one.issuer}/{name}" for name in ("authorization_endpoint", "token_endpoint")}
            self.answer({"issuer": one.issuer, "jwks_uri": f"{one.issuer}/keys", **ends})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.answer(self.provider.exchange({name: values[0] for name, values in parse_qs(body).items()}))
