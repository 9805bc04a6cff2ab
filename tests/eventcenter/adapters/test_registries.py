"""Pushes to OCI registries: distribution.github.io/distribution/about/notifications, and Harbor's webhook page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eventcenter.adapters import harbor as harbor_adapter
from eventcenter.adapters import oci as oci_adapter
from eventcenter.adapters.message import Ignored, PayloadError, Reason, Rules
from eventcenter.envelope import Envelope
from tests.eventcenter.adapters.mapping import RULES, message, published, reason
from tests.eventcenter.adapters.payloads import DIGEST, OTHER_DIGEST, harbor, harbor_cloudevent, oci, oci_push

LAYER = "application/vnd.docker.container.image.rootfs.diff+x-gtar"
DELETED = {"id": "d", "action": "delete", "target": {"digest": DIGEST, "repository": "library/test"}}


def pushed(*events: Any, rules: Rules = RULES) -> list[Envelope | Ignored]:
    return oci_adapter.read(message(oci(*events)), rules)


def harbored(payload: Any, rules: Rules = RULES) -> Envelope | Ignored:
    (result,) = harbor_adapter.read(message(payload), rules)
    return result


def test_manifest_is_mapped_when_it_was_pushed_under_a_version() -> None:
    event, data = published(pushed()[0])

    assert data == {
        "plugin_id": "pytest-celery",
        "version": "1.2.0",
        "channel": "stable",
        "tenant": "acme",
        "artifact": {
            "digest": DIGEST,
            "url": f"https://registry.example.com/v2/acme/pytest-celery/manifests/{DIGEST}",
            "name": "acme/pytest-celery:1.2.0",
        },
        "released_by": "release-bot",
        "released_at": "2026-03-09T22:44:26.402974Z",
    }
    assert (event.source, event.id) == ("oci://registry.example.com/acme/pytest-celery", f"1.2.0@{DIGEST}")
    assert event.extensions == {"forgedelivery": "320678d8-ca14-430f-8bb6-4ca139cd83f7"}


def test_each_event_is_judged_when_an_envelope_holds_several() -> None:
    """The page: "the set of events within that envelope have no implied relationship"."""
    results = pushed(
        oci_push(target__mediaType=LAYER),
        oci_push(),
        oci_push(action="pull"),
        DELETED,
        oci_push(target__tag=...),
        oci_push(target__tag="latest"),
        oci_push(target__tag="sha256-9f9f.sig"),
        oci_push(id=7),
        "not an event",
        oci_push(target__repository="acme/other", target__tag="v0.3.0"),
    )

    assert [row.subject if isinstance(row, Envelope) else row.reason for row in results] == [
        Reason.OTHER_MEDIA_TYPE,
        "pytest-celery",
        Reason.OTHER_ACTION,
        Reason.OTHER_ACTION,
        Reason.UNTAGGED,
        Reason.NOT_A_VERSION,
        Reason.NOT_A_VERSION,
        Reason.MALFORMED,
        Reason.MALFORMED,
        "other",
    ]


def test_media_types_are_the_owners_to_choose_when_a_registry_holds_more_than_plugins() -> None:
    own = "application/vnd.acme.plugin.v1+json"
    rules = replace(RULES, media_types=(own,))

    assert reason(pushed(rules=rules)[0]) is Reason.OTHER_MEDIA_TYPE
    assert published(pushed(oci_push(target__mediaType=own), rules=rules)[0])


def test_key_changes_when_a_tag_gets_another_content() -> None:
    """An id of its own for each notification, also when a registry sends one again: it is no part of the key."""
    first, again, other = (
        published(pushed(event)[0])[0].idempotencykey
        for event in (oci_push(), oci_push(id="another"), oci_push(target__digest=OTHER_DIGEST))
    )

    assert first == again != other


@pytest.mark.parametrize(
    ("changes", "host"),
    [
        ({"request": ...}, "registry.example.com"),
        ({"request__host": "other.example.com:5000"}, "other.example.com:5000"),
    ],
)
def test_registry_is_named_when_the_request_does_or_does_not_say(changes: dict[str, Any], host: str) -> None:
    event, _ = published(pushed(oci_push(**changes))[0])

    assert event.source == f"oci://{host}/acme/pytest-celery"


def test_url_is_made_when_the_registry_gives_none() -> None:
    data = published(pushed(oci_push(target__url=...))[0])[1]

    assert data["artifact"]["url"] == f"https://registry.example.com/v2/acme/pytest-celery/manifests/{DIGEST}"


def test_release_is_ignored_when_its_digest_is_no_sha256() -> None:
    assert reason(pushed(oci_push(target__digest="sha512:" + "9f" * 64))[0]) is Reason.NO_ARTIFACT


@pytest.mark.parametrize(
    ("payload", "field"),
    [(b"", "body"), ({}, "events"), ({"events": {}}, "events"), ({"events": [{}] * 1_001}, "events")],
)
def test_place_is_named_when_there_is_no_envelope(payload: Any, field: str) -> None:
    with pytest.raises(PayloadError) as caught:
        oci_adapter.read(message(payload), RULES)

    assert [problem.field for problem in caught.value.problems] == [field]


def test_nothing_comes_of_it_when_an_envelope_is_empty() -> None:
    assert oci_adapter.read(message({"events": []}), RULES) == []


@pytest.mark.parametrize(("payload", "delivery"), [(harbor(), None), (harbor_cloudevent(), harbor_cloudevent()["id"])])
def test_push_is_mapped_when_harbor_sends_either_format(payload: Any, delivery: str | None) -> None:
    event, data = published(harbored(payload))

    assert data == {
        "plugin_id": "pytest-celery",
        "version": "1.2.0",
        "channel": "stable",
        "tenant": "acme",
        "artifact": {
            "digest": DIGEST,
            "url": f"https://hub.example.com/v2/plugins/pytest-celery/manifests/{DIGEST}",
            "name": "plugins/pytest-celery:1.2.0",
        },
        "released_by": "robot$ci",
        "released_at": "2020-04-15T03:45:08Z",
    }
    assert event.source == "oci://hub.example.com/plugins/pytest-celery"
    assert event.extensions.get("forgedelivery") == delivery


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (harbor(type="PULL_ARTIFACT"), Reason.OTHER_EVENT),
        (harbor(type="SCANNING_COMPLETED"), Reason.OTHER_EVENT),
        (harbor_cloudevent(type="harbor.artifact.deleted"), Reason.OTHER_EVENT),
        (harbor(event_data__resources__0__tag="latest"), Reason.NOT_A_VERSION),
        (harbor(event_data__resources__0__tag=""), Reason.UNTAGGED),
        (harbor(event_data__resources__0__digest="none"), Reason.NO_ARTIFACT),
        (harbor(event_data__resources__0__resource_url=" "), Reason.UNFIT),
    ],
)
def test_reason_is_told_when_harbors_message_is_ignored(payload: Any, expected: Reason) -> None:
    assert reason(harbored(payload)) is expected


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"x", "body"),
        (harbor(type=...), "type"),
        (harbor(occur_at=10**20), "occur_at"),
        (harbor(event_data__repository=...), "event_data.repository"),
        (harbor_cloudevent(time="now"), "time"),
    ],
)
def test_place_is_named_when_harbors_payload_is_not_as_documented(payload: Any, field: str) -> None:
    with pytest.raises(PayloadError) as caught:
        harbored(payload)

    assert [problem.field for problem in caught.value.problems] == [field]
