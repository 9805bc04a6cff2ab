"""The one shape that every forge's release is brought into, and the event that is made of it. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson

from eventcenter.adapters.message import Ignored, Reason, Rules
from eventcenter.envelope import Envelope, EnvelopeError, RefusedError, timestamp_text
from eventcenter.envelope.attributes import build_envelope
from eventcenter.envelope.payload import json_text

RELEASED = "plugin.release.published"
STABLE = "stable"
# Of a release that its forge calls a pre-release and whose version does not say which kind.
PRERELEASE_CHANNEL = "candidate"
# What versions call themselves (semver.org's and PEP 440's usual words), and the channel that each word means.
CHANNELS = {
    "candidate": ("rc", "cr", "candidate", "pre", "preview"),
    "beta": ("beta",),
    "nightly": ("alpha", "dev", "nightly", "snapshot", "canary"),
}
LETTERS = {"a": "nightly", "b": "beta", "c": "candidate"}

_WORDS = {word: channel for channel, words in CHANNELS.items() for word in words}
_WORD = re.compile(r"(?<![a-z])(" + "|".join(sorted(_WORDS, key=len, reverse=True)) + r")(?![a-z])")
_LETTER = re.compile(r"[0-9!.]*[0-9][._-]?([abc])[0-9]+(?![0-9a-z])")  # right behind the numbers, as in 2.0b1
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+_!-]{0,127}")
_PLUGIN_ID = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_HEX = re.compile(r"[0-9a-f]{64}")
_FRAGMENT = re.compile(r"(?:^|&)sha256=([0-9a-f]{64})(?:&|$)")


class Artifact(NamedTuple):
    """`digest` as the forge states it, maybe empty or of another algorithm."""

    name: str
    url: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a forge says of one release. `key` names it for good: two messages with one key are about one release."""

    kind: str
    source: str
    repository: str
    id: str
    key: tuple[str, ...]
    tag: str
    artifacts: Sequence[Artifact]
    released_by: str
    released_at: datetime
    prerelease: bool = False
    changelog_url: str = ""
    commit: str = ""
    delivery: str = ""


class _Skip(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.ignored = Ignored(reason, detail)


def event_of(release: Release, rules: Rules) -> Envelope | Ignored:
    """The event, or why there is none. An event's attributes are valid; its data is for the type's schema to judge."""
    try:
        if not _is_wanted(release.repository, rules.repositories):
            raise _Skip(Reason.OTHER_REPOSITORY, "The repository is not among those that the adapter takes.")
        version = version_of(release.tag, rules.tag_prefix)
        channel = channel_of(version, prerelease=release.prerelease)
        if channel != STABLE and not rules.prereleases:
            raise _Skip(Reason.PRERELEASE, "The adapter does not take pre-releases.")
        return _envelope(release, rules, version, channel)
    except _Skip as skip:
        return skip.ignored
    except (EnvelopeError, RefusedError, OverflowError) as error:
        return Ignored(Reason.UNFIT, f"The event would break the standard: {error}"[:500])


def _is_wanted(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def version_of(tag: str, prefix: str = "") -> str:
    """The tag without `prefix` and a `v` before the first digit. What does not begin with a digit then moves or is no
    release (latest, main, sha256-….sig). Raises _Skip."""
    if not tag.startswith(prefix):
        raise _Skip(Reason.OTHER_TAG, f"The tag does not begin with {prefix!r}.")
    rest = tag[len(prefix) :]
    version = rest[1:] if re.match(r"[vV][0-9]", rest) else rest
    if not _VERSION.fullmatch(version):
        detail = "The tag is no version: a digit first (a v before it is dropped), then 0-9 A-Z a-z . + _ ! -"
        raise _Skip(Reason.NOT_A_VERSION, detail)
    return version


def channel_of(version: str, *, prerelease: bool) -> str:
    """`prerelease`: the forge says so. A version that calls itself one is one, whatever the forge says."""
    text = version.lower().partition("+")[0]
    word, letter = _WORD.search(text), _LETTER.match(text)
    if word:
        return _WORDS[word[1]]
    if letter:
        return LETTERS[letter[1]]
    return PRERELEASE_CHANNEL if prerelease else STABLE


def plugin_id_of(repository: str, named: dict[str, str]) -> str:
    """What the owner named it, else the repository's last part with what an id cannot hold as single dashes."""
    made = re.sub(r"[^a-z0-9._-]", "-", repository.rpartition("/")[2].lower())
    made = named.get(repository) or re.sub(r"[._-]{2,}", "-", made).strip("._-")
    if not is_plugin_id(made):
        raise _Skip(Reason.NO_PLUGIN_ID, "No plugin id can be made of the repository's name; name one in the adapter.")
    return made


def is_plugin_id(text: str) -> bool:
    """As the type's schema takes it."""
    return len(text) <= 128 and _PLUGIN_ID.fullmatch(text) is not None


def artifact_of(artifacts: Sequence[Artifact], pattern: str) -> Artifact:
    """The first that fits the pattern and whose SHA-256 was stated. An event must not hold a digest that nobody stated."""
    fitting = [row for row in artifacts if not pattern or fnmatchcase(row.name, pattern)]
    for row in fitting:
        if _DIGEST.fullmatch(row.digest):
            return row
    of = f"The release has {len(artifacts)} files, {len(fitting)} of them fit the adapter's pattern"
    raise _Skip(Reason.NO_ARTIFACT, f"{of}, and none has a stated SHA-256 digest.")


def stated_digest(name: str, url: str, text: str) -> str:
    """A link's digest, where its forge has no field for one: the URL's fragment `#sha256=…` (as in PEP 503), or a line
    of the release's text with the digest and the file's name, as sha256sum writes it. Empty when there is none."""
    fragment = _FRAGMENT.search(url.partition("#")[2])
    if fragment:
        return f"sha256:{fragment[1]}"
    names = {name, url.partition("#")[0].rpartition("/")[2]} - {""}
    for line in text.splitlines():
        words = [word.strip("`|*") for word in line.split()]
        digests = [word for word in words if _HEX.fullmatch(word)]
        if digests and names.intersection(words):
            return f"sha256:{digests[0]}"
    return ""


def _envelope(release: Release, rules: Rules, version: str, channel: str) -> Envelope:
    plugin = plugin_id_of(release.repository, dict(rules.plugin_ids))
    artifact = artifact_of(release.artifacts, rules.asset_pattern)
    time = timestamp_text(release.released_at.astimezone(UTC))
    data = {
        "plugin_id": plugin,
        "version": version,
        "channel": channel,
        "tenant": rules.tenant,
        "artifact": {"digest": artifact.digest, "url": artifact.url, "name": artifact.name},
        "released_by": release.released_by or f"{release.kind}:{release.repository}",
        "released_at": time,
    }
    if release.changelog_url.startswith(("https://", "http://")):
        data["changelog_url"] = release.changelog_url
    if _COMMIT.fullmatch(release.commit):
        data["commit"] = release.commit
    attributes = {
        "specversion": "1.0",
        "id": release.id,
        "source": release.source,
        "type": RELEASED,
        "subject": plugin,
        "time": time,
        "tenant": rules.tenant,
        "tags": channel,
        "idempotencykey": release_key(release.kind, *release.key, channel),
        "forgedelivery": release.delivery or None,
    }
    return build_envelope(attributes, json_text(orjson.dumps(data)), [])


def release_key(kind: str, *parts: str) -> str:
    """Of bounded length, whatever a forge's names are. With the channel among the parts, a pre-release that becomes the
    release is news, and a delivery that is sent again is not."""
    return f"{kind}:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()}"


def host_of(url: str) -> str:
    """Empty where the URL has none. It belongs to a key, since two servers may number their repositories alike."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
