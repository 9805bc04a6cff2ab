"""The benchmark's input: releases of real plugins as CloudEvents of about 1 KB. Deterministic but for ids and times."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from uuid import uuid4

import orjson

from eventcenter.envelope import Envelope

RELEASES = Path(__file__).parent / "releases.tsv"
# The Kafka header of an extension attribute that the sink looks for: when the event was sent, epoch microseconds.
SENT_HEADER = "ce_benchsentus"
NOTES_BYTES = 330  # brings the structured event to 1 KB
ORDERED_TAG, PLAIN_TAG = "ordered", "plain"
ORDERED_EVERY = 10


def read_releases(path: Path = RELEASES) -> list[tuple[str, str]]:
    """(plugin, version) rows of a TSV with a header line."""
    return [(row[0], row[1]) for row in (line.split("\t") for line in path.read_text().splitlines()[1:])]


def release_data(tenant: str, plugin: str, version: str) -> bytes:
    """The `data` of plugin.release.published v1; what is not in the list is made from the name."""
    digest = hashlib.sha256(f"{plugin} {version}".encode()).hexdigest()
    data = {
        "plugin_id": plugin,
        "version": version,
        "channel": "stable",
        "tenant": tenant,
        "artifact": {"digest": f"sha256:{digest}", "url": f"https://artifacts.example/{plugin}/{version}.tgz"},
        "changelog_url": f"https://docs.example/{plugin}/changelog#{version}",
        "released_by": "release-bot@artifacts.example",
        "released_at": "2026-11-01T12:00:00Z",
        "commit": digest[:40],
        "severity": "normal",
        "notes": (digest * 6)[:NOTES_BYTES],
    }
    return orjson.dumps(data)


def release_events(tenant: str) -> Iterator[Envelope]:
    """Endless. Each event is new: its id is random. One in ORDERED_EVERY has the tag ORDERED_TAG, the others PLAIN_TAG."""
    prepared = [(plugin, release_data(tenant, plugin, version)) for plugin, version in read_releases()]
    for number, (plugin, data) in enumerate(cycle(prepared)):
        yield Envelope(
            id=str(uuid4()),
            source="/pipelines/bench",
            type="plugin.release.published",
            subject=plugin,
            tenant=tenant,
            tags=("bench", PLAIN_TAG if number % ORDERED_EVERY else ORDERED_TAG),
            data=data,
        )
