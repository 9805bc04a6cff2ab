"""A local OpenID provider (the package oidc-provider-mock) that can be told to lie in its ID tokens, and to go away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import flask
import jwt
import oidc_provider_mock
from cryptography.hazmat.primitives.asymmetric import rsa
from werkzeug.serving import make_server

Claims = dict[str, Any]
Sign = Callable[[Claims, dict[str, Any]], str]


class IdentityProvider:
    """`alter` changes the claims of ID tokens before they are signed; `sign` replaces the signing itself."""

    def __init__(self) -> None:
        self.alter: Callable[[Claims], None] = lambda claims: None
        self.sign: Sign | None = None
        self.discovery: Claims = {}
        self.tokens_asked = 0
        app = oidc_provider_mock.app(require_nonce=True)
        app.after_request(self._after)
        self._server = make_server("localhost", 0, app, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://localhost:{self._server.server_port}"
        self._app = app

    def __enter__(self) -> IdentityProvider:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def knows(self, subject: str, **claims: object) -> None:
        answer = self._app.test_client().put(f"/users/{subject}", json=claims)
        assert answer.status_code == 204

    def _after(self, response: flask.Response) -> flask.Response:
        if flask.request.path == "/oauth2/token" and response.status_code == 200:
            self.tokens_asked += 1
            body = response.get_json()
            body["id_token"] = self._again(body["id_token"])
            response.set_data(flask.json.dumps(body))
        elif flask.request.path.endswith("openid-configuration"):
            response.set_data(flask.json.dumps(response.get_json() | self.discovery))
        return response

    def _again(self, token: str) -> str:
        claims = jwt.decode(token, options={"verify_signature": False})
        self.alter(claims)
        key = flask.g.oidc_provider_mock_storage.jwk
        return (self.sign or sign_with(key))(claims, key.as_dict())


def sign_with(key: Any) -> Sign:
    """By the provider's own key."""
    private = jwt.PyJWK(key.as_dict(is_private=True)).key
    return lambda claims, jwk: jwt.encode(claims, private, algorithm="RS256", headers={"kid": jwk["kid"]})


def by_a_stranger(claims: Claims, jwk: dict[str, Any]) -> str:
    """Another key under the provider's key id."""
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(claims, stranger, algorithm="RS256", headers={"kid": jwk["kid"]})


def unsigned(claims: Claims, jwk: dict[str, Any]) -> str:
    return jwt.encode(claims, None, algorithm="none", headers={"kid": jwk["kid"]})


def by_the_client_secret(claims: Claims, jwk: dict[str, Any]) -> str:
    return jwt.encode(claims, "s" * 32, algorithm="HS256", headers={"kid": jwk["kid"]})


def expired(claims: Claims) -> None:
    claims["iat"] = claims["exp"] = int(time.time()) - 3600
