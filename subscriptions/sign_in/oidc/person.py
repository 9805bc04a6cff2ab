"""What verified claims say of a person, and which roles their groups give. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

NAME_CHARS_MOST = 150  # Django's users
SUBJECT_CHARS_MOST = 255  # OpenID Connect Core 1.0, section 2
_NOT_IN_A_USERNAME = re.compile(r"[^A-Za-z0-9_.@+-]")


@dataclass(frozen=True, slots=True)
class ClaimNames:
    username: str
    name: str
    email: str
    groups: str


@dataclass(frozen=True, slots=True)
class Person:
    """`email` is a verified one, or empty."""

    issuer: str
    subject: str
    username: str
    name: str
    email: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """`tenant` is a slug; None is the platform."""

    tenant: str | None
    role: str


def read_person(claims: Mapping[str, object], names: ClaimNames) -> Person:
    """`iss` and `sub` must be there; of the others what is missing or of a wrong kind is empty."""
    # Some providers write the word. Without it an address is what its holder typed, and proves nothing.
    verified = claims.get("email_verified") is True or claims.get("email_verified") == "true"
    return Person(
        issuer=str(claims["iss"]),
        subject=str(claims["sub"]),
        username=_text(claims, names.username),
        name=_text(claims, names.name),
        email=_text(claims, names.email) if verified else "",
        groups=_words(_claim(claims, names.groups)),
    )


def username_of(person: Person, is_taken: bool) -> str:
    """The provider's name for them, or, where another has it or there is none, with a mark that is theirs alone."""
    wanted = _NOT_IN_A_USERNAME.sub("-", person.username)[: NAME_CHARS_MOST - 13].strip("-")
    if wanted and not is_taken:
        return wanted
    mark = hashlib.sha256(f"{person.issuer} {person.subject}".encode()).hexdigest()[:12]
    return f"{wanted or 'oidc'}-{mark}"


def granted(groups: Collection[str], role_map: Iterable[tuple[str, str, str]]) -> frozenset[Grant]:
    """What the groups give by the map of (group, tenant slug or "platform", role)."""
    return frozenset(_grant(place, role) for group, place, role in role_map if group in groups)


def governed(role_map: Iterable[tuple[str, str, str]]) -> frozenset[Grant]:
    """All that the map names: these come and go with the groups, whoever gave them; others are left alone."""
    return frozenset(_grant(place, role) for _, place, role in role_map)


def _grant(place: str, role: str) -> Grant:
    return Grant(None if place == "platform" else place, role)


def _claim(claims: Mapping[str, object], name: str) -> object:
    """By its name, or, with dots, inside of others: realm_access.roles."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def _text(claims: Mapping[str, object], name: str) -> str:
    value = _claim(claims, name)
    return value.replace("\0", "").strip()[:NAME_CHARS_MOST] if isinstance(value, str) else ""


def _words(value: object) -> frozenset[str]:
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset(word for word in values if isinstance(word, str))
