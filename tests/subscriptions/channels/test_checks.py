from __future__ import annotations

import pytest

from subscriptions.channels.base import ChannelSpec, Field
from subscriptions.channels.checks import check_settings, split_settings, typed, with_defaults, without_defaults
from subscriptions.channels.registry import SPECS
from subscriptions.models import Channel


def even_only(value: str) -> str | None:
    return None if int(value) % 2 == 0 else "takes an even number"


TOPIC = Field("topic", "Topic")
PORT = Field("port", "Port", "number", required=False, check=even_only)
TLS = Field("tls", "TLS", "boolean", required=False, default="true")
MODE = Field("mode", "Mode", "choice", default="fast", choices=("fast", "safe"))
PASSWORD = Field("password", "Password", "secret")
TOKEN = Field("token", "Token", "secret", required=False)
FIELDS = (TOPIC, PORT, TLS, MODE, PASSWORD, TOKEN)
SPEC = ChannelSpec(Channel.KAFKA, FIELDS)
GOOD: dict[str, object] = {"topic": "releases", "mode": "safe"}
SECRETS: dict[str, object] = {"password": "s3cret"}


def test_every_channel_has_its_settings() -> None:
    assert set(SPECS) == set(Channel)
    assert all(spec.channel is channel for channel, spec in SPECS.items())


def test_nothing_is_wrong_when_all_settings_fit() -> None:
    assert check_settings(SPEC, GOOD | {"port": 9092, "tls": False}, SECRETS | {"token": "x"}) == {}


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"topic": ""}, "topic", "is missing"),
        ({"topic": None}, "topic", "is missing"),
        ({"topic": 7}, "topic", "takes text"),
        ({"topic": "a\0b"}, "topic", "takes text of at most"),
        ({"topic": "a" * 4001}, "topic", "takes text of at most 4000"),
        ({"port": "9092"}, "port", "takes a number"),
        ({"port": True}, "port", "takes a number"),
        ({"port": float("nan")}, "port", "takes a number"),
        ({"port": 9093}, "port", "takes an even number"),
        ({"tls": "yes"}, "tls", "takes true or false"),
        ({"mode": "slow"}, "mode", "takes one of fast, safe"),
        ({"colour": "red"}, "colour", "is not a setting of this channel"),
        ({"password": "x"}, "password", "is not a setting"),
    ],
)
def test_problem_stands_at_its_field(change: dict[str, object], field: str, words: str) -> None:
    problems = check_settings(SPEC, GOOD | change, {"token": "x"} if "password" in change else SECRETS)
    assert words in problems.pop(field)
    assert problems == {}


def test_missing_secret_is_a_problem_and_no_problem_repeats_a_value() -> None:
    assert check_settings(SPEC, GOOD, {}) == {"password": "is missing"}
    wrong = check_settings(SPEC, GOOD | {"mode": "s3cret-mode"}, {"password": "s3cret\0"})
    assert set(wrong) == {"mode", "password"}
    assert "s3cret" not in str(wrong)


def test_values_are_split_by_who_may_see_them() -> None:
    given = {"topic": "a", "password": "b", "port": None, "mode": "", "colour": "red"}
    assert split_settings(FIELDS, given) == ({"topic": "a", "colour": "red"}, {"password": "b"})


def test_defaults_are_filled_in_or_left_out() -> None:
    assert with_defaults(FIELDS, {"topic": "a", "tls": False}) == {"topic": "a", "tls": False, "mode": "fast"}
    assert without_defaults(FIELDS, {"topic": "a", "tls": True, "mode": "safe"}) == {"topic": "a", "mode": "safe"}


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (PORT, "9092", 9092),
        (PORT, "0.5", 0.5),
        (PORT, "x", "x"),
        (TLS, "True", True),
        (TLS, "no", "no"),
        (TOPIC, "1", "1"),
    ],
)
def test_text_becomes_what_its_field_keeps(field: Field, text: str, value: object) -> None:
    found = typed(field, text)
    assert (found, type(found)) == (value, type(value))
