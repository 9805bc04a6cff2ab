from __future__ import annotations

import csv
from pathlib import Path

import pytest

from config.stack.demo import RELEASES
from eventcenter.adapters.message import Rules
from eventcenter.adapters.release import channel_of, plugin_id_of, stated_digest, version_of

HEX = "9f" * 32


@pytest.mark.parametrize(
    ("tag", "prefix", "version"),
    [
        ("1.10.1", "", "1.10.1"),
        ("v1.10.1", "", "1.10.1"),
        ("V2", "", "2"),
        ("2026.10.0+build.5", "", "2026.10.0+build.5"),
        ("1!2.0.post1", "", "1!2.0.post1"),
        ("kafka/v1.0", "kafka/", "1.0"),
        ("kafka-1.0", "kafka-", "1.0"),
    ],
)
def test_version_is_what_is_left_of_the_tag(tag: str, prefix: str, version: str) -> None:
    assert version_of(tag, prefix) == version


@pytest.mark.parametrize(
    ("version", "flag", "channel"),
    [
        ("1.10.1", False, "stable"),
        ("1.10.1", True, "candidate"),
        ("2.0.0-rc.1", False, "candidate"),
        ("2.0.0rc1", False, "candidate"),
        ("2.0.0-preview", False, "candidate"),
        ("2.0.0-beta.11", True, "beta"),
        ("2.0.0b2", False, "beta"),
        ("2.0.0a1", False, "nightly"),
        ("2.0.0.dev3", False, "nightly"),
        ("2.0.0-SNAPSHOT", False, "nightly"),
        ("2.0.0-nightly.20261124", False, "nightly"),
        ("2.0.0+rc1", False, "stable"),
        ("2.0.0.post1", False, "stable"),
        ("2.0-b3f2c1", False, "stable"),
        ("2.0-archive", False, "stable"),
    ],
)
def test_channel_follows_from_the_version_and_the_forges_word(version: str, flag: bool, channel: str) -> None:
    assert channel_of(version, prerelease=flag) == channel


def test_every_release_of_the_demo_has_an_id_and_a_version_when_it_comes_from_a_forge() -> None:
    with Path(RELEASES).open() as rows:
        for row in csv.DictReader(rows, delimiter="\t"):
            assert plugin_id_of(f"acme/{row['plugin']}", {}) == row["plugin"]
            assert version_of(f"v{row['version']}") == row["version"]


@pytest.mark.parametrize(
    ("repository", "plugin"),
    [
        ("acme/payments-gateway", "payments-gateway"),
        ("Acme/Payments_Gateway", "payments_gateway"),
        ("group/sub/Plugin.Name", "plugin.name"),
        ("acme/.github--x__", "github-x"),
        ("acme/Über plugin", "ber-plugin"),
    ],
)
def test_plugin_id_is_made_of_the_repositorys_last_part(repository: str, plugin: str) -> None:
    assert plugin_id_of(repository, {}) == plugin


@pytest.mark.parametrize(
    ("name", "url", "text", "found"),
    [
        ("a.tgz", f"https://h/a.tgz#sha256={HEX}", "", True),
        ("a.tgz", f"https://h/a.tgz#egg=a&sha256={HEX}", "", True),
        ("a.tgz", f"https://h/a.tgz#sha256={HEX}f", "", False),
        ("a.tgz", f"https://h/a.tgz?sha256={HEX}", "", False),
        ("a.tgz", "https://h/a.tgz", f"{HEX}  a.tgz", True),
        ("a.tgz", "https://h/a.tgz", f"{HEX} *a.tgz", True),
        ("a.tgz", "https://h/a.tgz", f"- `a.tgz` `{HEX}`", True),
        ("a.tgz", "https://h/a.tgz", f"{HEX}  b.tgz", False),
        ("a.tgz", "https://h/a.tgz", f"{HEX}\na.tgz", False),
        ("a.tgz", "https://h/a.tgz", "", False),
        ("", "https://h/", f"{HEX}  ", False),
    ],
)
def test_digest_is_found_when_it_is_stated_for_that_file(name: str, url: str, text: str, found: bool) -> None:
    assert stated_digest(name, url, text) == (f"sha256:{HEX}" if found else "")


def test_rules_take_everything_when_nothing_is_set() -> None:
    assert (Rules("acme").repositories, Rules("acme").prereleases) == ((), False)
