"""GitHub's `release` event, by docs.github.com/en/webhooks/webhook-events-and-payloads#release."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from eventcenter.adapters.github import FORM, read
from eventcenter.adapters.message import Ignored, PayloadError, Reason, Rules
from eventcenter.envelope import Envelope
from tests.eventcenter.adapters.mapping import RULES, message, published, reason
from tests.eventcenter.adapters.payloads import COMMIT, DIGEST, OTHER_DIGEST, github, github_asset, github_ping

HEADERS = {"X_GitHub_Event": "release", "X_GitHub_Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"}


def mapped(payload: Any, rules: Rules = RULES, **headers: str) -> Envelope | Ignored:
    (result,) = read(message(payload, **HEADERS | headers), rules)
    return result


def test_release_is_mapped_when_it_was_published() -> None:
    event, data = published(mapped(github()))

    assert data == {
        "plugin_id": "airflow-provider-kafka",
        "version": "1.10.1",
        "channel": "stable",
        "tenant": "acme",
        "artifact": {
            "digest": DIGEST,
            "url": github()["release"]["assets"][0]["browser_download_url"],
            "name": "airflow-provider-kafka-1.10.1.tar.gz",
        },
        "changelog_url": "https://github.com/acme/airflow-provider-kafka/releases/tag/v1.10.1",
        "released_by": "eva-zhang",
        "released_at": "2026-10-05T15:20:53Z",
        "commit": COMMIT,
    }
    assert (event.type, event.subject, event.tags) == (
        "plugin.release.published",
        "airflow-provider-kafka",
        ("stable",),
    )
    assert (event.source, event.id) == ("https://github.com/acme/airflow-provider-kafka", "release/17372790")
    assert event.extensions == {"forgedelivery": HEADERS["X_GitHub_Delivery"]}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (github(action="created"), Reason.OTHER_ACTION),
        (github(action="edited"), Reason.OTHER_ACTION),
        (github(action="deleted"), Reason.OTHER_ACTION),
        (github(action="unpublished"), Reason.OTHER_ACTION),
        (github(action="a new one"), Reason.OTHER_ACTION),
        (github(action="created", release__draft=True), Reason.DRAFT),
        (github(release__draft=True), Reason.DRAFT),
        (github(release__prerelease=True), Reason.PRERELEASE),
        (github(release__tag_name="v2.0.0-rc.1"), Reason.PRERELEASE),
        (github(release__tag_name="latest"), Reason.NOT_A_VERSION),
        (github(release__tag_name=""), Reason.NOT_A_VERSION),
        (github(release__assets=[]), Reason.NO_ARTIFACT),
        (github(release__assets__0__digest=None), Reason.NO_ARTIFACT),
        (github(release__assets__0__digest="sha512:" + "9f" * 64), Reason.NO_ARTIFACT),
        (github(release__assets__0__state="open"), Reason.NO_ARTIFACT),
        (github(repository__full_name="acme/---"), Reason.NO_PLUGIN_ID),
        (github(repository__html_url="no reference"), Reason.UNFIT),
        (github(release__author__login="nul\0"), Reason.UNFIT),
        (github(release__published_at="0001-01-01T00:00:00+14:00"), Reason.UNFIT),
    ],
)
def test_reason_is_told_when_a_release_is_ignored(payload: Any, expected: Reason) -> None:
    assert reason(mapped(payload)) is expected


def test_other_events_are_ignored_when_the_webhook_sends_all() -> None:
    assert reason(mapped(github_ping(), X_GitHub_Event="ping")) is Reason.PING
    assert reason(mapped({"ref": "refs/heads/main"}, X_GitHub_Event="push")) is Reason.OTHER_EVENT


def test_one_key_is_made_when_one_publishing_sends_several_actions() -> None:
    """published, then released (docs: "a release was published, or a pre-release was changed to a release")."""
    keys = {published(mapped(github(action=action)))[0].idempotencykey for action in ("published", "released")}

    assert len(keys) == 1
    assert published(mapped(github(release__id=2)))[0].idempotencykey not in keys
    assert published(mapped(github(repository__id=2)))[0].idempotencykey not in keys


def test_new_event_is_made_when_a_prerelease_becomes_the_release() -> None:
    rules = replace(RULES, prereleases=True)
    early, early_data = published(mapped(github(action="prereleased", release__prerelease=True), rules))

    late, data = published(mapped(github(action="released"), rules))

    assert (early_data["channel"], data["channel"]) == ("candidate", "stable")
    assert early.idempotencykey != late.idempotencykey


def test_file_is_chosen_by_the_pattern_when_there_are_several() -> None:
    files = [github_asset("plugin.whl.asc"), github_asset("plugin.whl"), github_asset("plugin.tgz")]
    payload = github(release__assets=files)

    assert published(mapped(payload))[1]["artifact"]["name"] == "plugin.whl"
    assert published(mapped(payload, replace(RULES, asset_pattern="*.tgz")))[1]["artifact"]["name"] == "plugin.tgz"
    assert reason(mapped(payload, replace(RULES, asset_pattern="*.zip"))) is Reason.NO_ARTIFACT


def test_digest_is_read_from_the_text_when_the_server_states_none() -> None:
    """GitHub Enterprise Server before asset digests: the text as sha256sum writes it."""
    text = f"Checksums:\n\n{OTHER_DIGEST[7:]}  other.tgz\n{DIGEST[7:]}  airflow-provider-kafka-1.10.1.tar.gz\n"
    payload = github(release__assets__0__digest=..., release__body=text)

    assert published(mapped(payload))[1]["artifact"]["digest"] == DIGEST


def test_repository_and_plugin_are_the_owners_to_choose_when_rules_are_set() -> None:
    rules = replace(RULES, repositories=("acme/airflow-*",), plugin_ids={"acme/airflow-provider-kafka": "kafka"})

    assert published(mapped(github(), rules))[1]["plugin_id"] == "kafka"
    assert reason(mapped(github(repository__full_name="acme/website"), rules)) is Reason.OTHER_REPOSITORY


def test_prefix_is_cut_when_several_plugins_share_a_repository() -> None:
    rules = replace(RULES, tag_prefix="kafka/")

    assert published(mapped(github(release__tag_name="kafka/v1.2.0"), rules))[1]["version"] == "1.2.0"
    assert reason(mapped(github(release__tag_name="redis/v1.2.0"), rules)) is Reason.OTHER_TAG


def test_branch_is_left_out_when_the_release_names_one_for_its_commit() -> None:
    assert "commit" not in published(mapped(github(release__target_commitish="main")))[1]


def test_form_is_read_when_the_webhook_sends_one() -> None:
    """docs: content type application/x-www-form-urlencoded sends the JSON as the form parameter `payload`."""
    body = urlencode({"payload": json.dumps(github())}).encode()

    (result,) = read(message(body, FORM, **HEADERS), RULES)

    assert published(result)[0] == published(mapped(github()))[0]


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"", "body"),
        (b"\xff", "body"),
        (b"[1]", "body"),
        (b"{" * 5000, "body"),
        (b'{"action": "\\ud800"}', "body"),
        (b'{"action": ' + b"1" * 5000 + b"}", "body"),
        (github(action=...), "action"),
        (github(action=1), "action"),
        (github(release=...), "release"),
        (github(release=[]), "release"),
        (github(release__tag_name=...), "release.tag_name"),
        (github(release__tag_name=7), "release.tag_name"),
        (github(release__id=-1), "release.id"),
        (github(release__published_at="yesterday"), "release.published_at"),
        (github(release__published_at="2026-10-05T15:20:53"), "release.published_at"),
        (github(release__assets__0__name=None), "release.assets[0].name"),
        (github(repository=...), "repository"),
    ],
)
def test_place_is_named_when_the_payload_is_not_as_documented(payload: Any, field: str) -> None:
    with pytest.raises(PayloadError) as caught:
        mapped(payload)

    assert [problem.field for problem in caught.value.problems] == [field]


@pytest.mark.parametrize("body", [b"", b"payload=", b"payload=%ff", b"x=1", b"payload=[]", b"&" * 300, b"a=1&" * 50])
def test_field_of_the_form_is_named_when_it_holds_no_payload(body: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        read(message(body, FORM, **HEADERS), RULES)

    assert [problem.field for problem in caught.value.problems] == ["payload"]


def test_header_is_named_when_it_is_missing() -> None:
    with pytest.raises(PayloadError) as caught:
        read(message(github()), RULES)

    assert [problem.field for problem in caught.value.problems] == ["X-GitHub-Event"]
