"""GitLab's release event, by docs.gitlab.com/user/project/integrations/webhook_events/#release-events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eventcenter.adapters.gitlab import read
from eventcenter.adapters.message import Ignored, PayloadError, Reason, Rules
from eventcenter.envelope import Envelope
from tests.eventcenter.adapters.mapping import RULES, message, published, reason
from tests.eventcenter.adapters.payloads import COMMIT, DIGEST, OTHER_DIGEST, gitlab

LINK = {"id": 3, "link_type": "package", "name": "The plugin", "url": "https://packages.example.com/plugin-1.1.tgz"}


def mapped(payload: Any, rules: Rules = RULES, **headers: str) -> Envelope | Ignored:
    (result,) = read(message(payload, **headers), rules)
    return result


def test_release_is_mapped_when_it_was_created() -> None:
    event, data = published(mapped(gitlab(), X_Gitlab_Event_UUID="13792a34-cac6-4fda-95a8-c58e00a3954e"))

    assert data == {
        "plugin_id": "release-webhook-example",
        "version": "1.1",
        "channel": "stable",
        "tenant": "acme",
        "artifact": {
            "digest": DIGEST,
            "url": f"https://packages.example.com/plugin-1.1.tgz#sha256={DIGEST[7:]}",
            "name": "plugin-1.1.tgz",
        },
        "changelog_url": "https://gitlab.example.com/acme/release-webhook-example/-/releases/v1.1",
        "released_by": "Example User",
        "released_at": "2026-11-02T12:55:12Z",
        "commit": COMMIT,
    }
    assert (event.source, event.id) == ("https://gitlab.example.com/acme/release-webhook-example", "release/1")
    assert event.extensions == {"forgedelivery": "13792a34-cac6-4fda-95a8-c58e00a3954e"}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (gitlab(action="update"), Reason.OTHER_ACTION),
        (gitlab(action="delete"), Reason.OTHER_ACTION),
        (gitlab(action=...), Reason.OTHER_ACTION),
        (gitlab(object_kind="tag_push"), Reason.OTHER_EVENT),
        (gitlab(object_kind=...), Reason.OTHER_EVENT),
        (gitlab(released_at="2026-12-01 00:00:00 UTC"), Reason.UPCOMING),
        (gitlab(tag="v1.1-beta.2"), Reason.PRERELEASE),
        (gitlab(tag="release"), Reason.NOT_A_VERSION),
        (gitlab(assets__links=[]), Reason.NO_ARTIFACT),
        (gitlab(assets=...), Reason.NO_ARTIFACT),
        (gitlab(assets__links=[LINK]), Reason.NO_ARTIFACT),
    ],
)
def test_reason_is_told_when_a_release_is_ignored(payload: Any, expected: Reason) -> None:
    assert reason(mapped(payload)) is expected


def test_action_is_found_when_it_stands_where_the_page_says() -> None:
    assert published(mapped(gitlab(action=...) | {"object_attributes": {"action": "create"}}))


@pytest.mark.parametrize("name", ["The plugin", "plugin-1.1.tgz"])
def test_digest_is_read_from_the_description_when_a_line_has_it_beside_the_files_name(name: str) -> None:
    """GitLab's links have no field for a digest. A name with a space is no word of a line, but the URL's last part is."""
    text = f"| file | sha256 |\n|---|---|\n| other.tgz | `{OTHER_DIGEST[7:]}` |\n| plugin-1.1.tgz | `{DIGEST[7:]}` |"
    payload = gitlab(assets__links=[LINK | {"name": name}], description=text)

    assert published(mapped(payload))[1]["artifact"]["digest"] == DIGEST


def test_people_are_left_out_when_the_commit_names_none() -> None:
    data = published(mapped(gitlab(commit=...)))[1]

    assert data["released_by"] == "gitlab:acme/release-webhook-example"
    assert "commit" not in data


def test_one_key_is_made_when_a_delivery_is_sent_again() -> None:
    first, again = (published(mapped(gitlab(), Idempotency_Key=key))[0] for key in ("a", "b"))

    assert first.idempotencykey == again.idempotencykey
    other = published(mapped(gitlab(project__web_url="https://gitlab.com/acme/release-webhook-example")))[0]
    assert other.idempotencykey != first.idempotencykey


def test_prerelease_is_taken_on_its_channel_when_the_adapter_wants_it() -> None:
    assert published(mapped(gitlab(tag="v1.1-beta.2"), replace(RULES, prereleases=True)))[1]["channel"] == "beta"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-02 12:55:12 UTC", "2026-11-02T12:55:12Z"),
        ("2026-11-02T12:55:12.123Z", "2026-11-02T12:55:12Z"),
        ("2026-11-02T12:55:12+11:00", "2026-11-02T01:55:12Z"),
        ("2026-11-02 12:55:12 +0200", "2026-11-02T10:55:12Z"),
    ],
)
def test_time_is_read_when_it_has_one_of_gitlabs_forms(text: str, moment: str) -> None:
    assert published(mapped(gitlab(released_at=text)))[1]["released_at"] == moment


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"no json", "body"),
        (gitlab(tag=...), "tag"),
        (gitlab(project__id="2"), "project.id"),
        (gitlab(assets__links__0__url=...), "assets.links[0].url"),
        (gitlab(released_at="soon"), "released_at"),
        (gitlab(released_at="2026-13-02 12:55:12 UTC"), "released_at"),
        (gitlab(released_at="0001-01-01 00:00:00 +1400"), "released_at"),
    ],
)
def test_place_is_named_when_the_payload_is_not_as_documented(payload: Any, field: str) -> None:
    with pytest.raises(PayloadError) as caught:
        mapped(payload)

    assert [problem.field for problem in caught.value.problems] == [field]
