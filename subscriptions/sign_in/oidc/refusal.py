"""Why somebody who came back from the identity provider is not let in."""

from __future__ import annotations

from enum import Enum
from http import HTTPStatus


class Refusal(Enum):
    """(status, the word of log and trail, what the page says)."""

    STATE = (
        HTTPStatus.BAD_REQUEST,
        "state",
        "This sign-in was not begun here, or was finished before, or took too long. Begin again.",
    )
    ISSUER = (HTTPStatus.BAD_REQUEST, "issuer", "The answer is another provider's. Begin again.")
    DENIED = (HTTPStatus.FORBIDDEN, "denied", "The provider did not sign you in, or you did not let it.")
    CODE = (HTTPStatus.BAD_REQUEST, "code", "The provider does not know this sign-in any more. Begin again.")
    TOKEN = (
        HTTPStatus.FORBIDDEN,
        "token",
        "What the provider said could not be proven to be its word for you, just now. The log says why.",
    )
    INACTIVE = (HTTPStatus.FORBIDDEN, "inactive", "Your account here is switched off. An admin can switch it on.")

    def __init__(self, status: HTTPStatus, word: str, words: str) -> None:
        self.status = status
        self.word = word
        self.words = words


class SignInRefused(Exception):
    """`why` is for the log: no token, code or claim is in it."""

    def __init__(self, refusal: Refusal, why: str = "") -> None:
        super().__init__(why or refusal.word)
        self.refusal = refusal
        self.why = why or refusal.word
