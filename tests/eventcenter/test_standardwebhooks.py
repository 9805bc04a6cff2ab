from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from eventcenter.standardwebhooks import (
    HEADERS,
    MAX_SIGNATURES,
    SecretError,
    SignatureFault,
    VerificationError,
    decode_secret,
    decode_signing_key,
    encode_secret,
    generate_private_key,
    generate_secret,
    public_key_of,
    sign,
    verify,
)

OLD, NEW = b"o" * 24, b"n" * 32
BODY = '{"type":"plugin.release.published","grüße":1}'.encode()
NOW = 1_767_225_600


def fault(signature: str, *, timestamp: str = str(NOW), body: bytes = BODY, now: float = NOW) -> SignatureFault | None:
    try:
        verify([NEW, OLD], "msg_1", timestamp, signature, body, now=now)
    except VerificationError as error:
        return error.fault
    return None


def test_signature_of_the_specification() -> None:
    secret = decode_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_public_package_accepts_what_we_sign() -> None:
    now = int(datetime.now(UTC).timestamp())
    for key in (OLD, NEW):
        values = ("msg_1", str(now), sign([NEW, OLD], "msg_1", now, BODY))
        assert Webhook(encode_secret(key)).verify(BODY, dict(zip(HEADERS, values, strict=True)))
        with pytest.raises(WebhookVerificationError):
            Webhook(encode_secret(key)).verify(BODY + b" ", dict(zip(HEADERS, values, strict=True)))


def test_we_accept_what_the_public_package_signs() -> None:
    signature = Webhook(encode_secret(OLD)).sign("msg_1", datetime.fromtimestamp(NOW, UTC), BODY.decode())
    assert fault(signature) is None


def test_one_signature_for_each_secret() -> None:
    first, second = sign([NEW, OLD], "msg_1", NOW, BODY).split(" ")
    assert first == sign([NEW], "msg_1", NOW, BODY)
    assert second == sign([OLD], "msg_1", NOW, BODY)


@pytest.mark.parametrize("key", [OLD, NEW])
def test_one_fitting_signature_is_enough(key: bytes) -> None:
    assert fault(f"v2,zzz v1,AAAA {sign([key], 'msg_1', NOW, BODY)}") is None


@pytest.mark.parametrize(
    "signature",
    [
        sign([b"another-secret-altogether"], "msg_1", NOW, BODY),
        sign([NEW], "msg_2", NOW, BODY),
        sign([NEW], "msg_1", NOW + 1, BODY),
        sign([NEW], "msg_1", NOW, BODY).replace("v1,", "v2,"),
        sign([NEW], "msg_1", NOW, BODY).replace("v1,", ""),
        sign([NEW], "msg_1", NOW, BODY)[:-1],
        "v1,",
        "v1,ünlesbar",
        "v1",
        "x" * 100_000,
        "v1,AAAA " * MAX_SIGNATURES + sign([NEW], "msg_1", NOW, BODY),
    ],
)
def test_bad_signature(signature: str) -> None:
    assert fault(signature) is SignatureFault.BAD_SIGNATURE


def test_changed_body() -> None:
    assert fault(sign([NEW], "msg_1", NOW, BODY), body=BODY + b" ") is SignatureFault.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOW + 300, None),
        (NOW + 300.5, SignatureFault.STALE),
        (NOW - 300, None),
        (NOW - 300.5, SignatureFault.FROM_THE_FUTURE),
    ],
)
def test_five_minutes_of_tolerance_both_ways(now: float, expected: SignatureFault | None) -> None:
    assert fault(sign([NEW], "msg_1", NOW, BODY), now=now) is expected


@pytest.mark.parametrize("timestamp", ["soon", "-1", "1.5", " 1", "+1", "٣", "9" * 5000])
def test_bad_timestamp(timestamp: str) -> None:
    assert fault("v1,AAAA", timestamp=timestamp) is SignatureFault.BAD_TIMESTAMP


@pytest.mark.parametrize("absent", [0, 1, 2])
@pytest.mark.parametrize("empty", ["", None])
def test_missing_header_is_named(absent: int, empty: str | None) -> None:
    values: list[str | None] = ["msg_1", str(NOW), "v1,AAAA"]
    values[absent] = empty
    msg_id, timestamp, signature = values
    with pytest.raises(VerificationError, match=HEADERS[absent]) as caught:
        verify([NEW], msg_id, timestamp, signature, BODY, now=NOW)
    assert caught.value.fault is SignatureFault.MISSING_HEADER


def test_new_secrets_differ_and_decode() -> None:
    first, second = generate_secret(), generate_secret()
    assert first != second
    assert len(decode_secret(first)) == 32


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        base64.b64encode(NEW).decode(),
        "whsec_c2VjcmV0 c2VjcmV0",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        "whsec_ü",
    ],
)
def test_bad_secret_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(SecretError) as caught:
        decode_secret(text)
    assert text.removeprefix("whsec_") == "" or text.removeprefix("whsec_") not in str(caught.value)


# RFC 8032 §7.1, TEST 3.
RFC_SEED = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
RFC_PUBLIC = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")


def written(prefix: str, raw: bytes) -> str:
    return prefix + base64.b64encode(raw).decode()


def test_public_key_is_the_rfcs_when_the_private_one_is() -> None:
    for raw in (RFC_SEED, RFC_SEED + RFC_PUBLIC):
        assert public_key_of(written("whsk_", raw)) == written("whpk_", RFC_PUBLIC)


def test_ed25519_signature_is_verified_by_another_implementation_when_it_knows_the_public_key() -> None:
    private = generate_private_key()
    public = public_key_of(private)
    assert (private[:5], public[:5]) == ("whsk_", "whpk_")
    assert (len(base64.b64decode(private[5:])), len(base64.b64decode(public[5:]))) == (64, 32)

    version, _, signature = sign([decode_signing_key(private)], "msg_1", NOW, BODY).partition(",")

    assert version == "v1a"
    verifier = Ed25519PublicKey.from_public_bytes(base64.b64decode(public[5:]))
    verifier.verify(base64.b64decode(signature), b"msg_1.%d.%b" % (NOW, BODY))
    with pytest.raises(InvalidSignature):
        verifier.verify(base64.b64decode(signature), b"msg_1.%d.%b" % (NOW + 1, BODY))


def test_both_kinds_sign_when_the_keys_are_of_both_kinds() -> None:
    private = decode_signing_key(generate_private_key())
    assert isinstance(private, Ed25519PrivateKey)
    signature = sign([private, NEW, OLD], "msg_1", NOW, BODY)

    assert [part.partition(",")[0] for part in signature.split(" ")] == ["v1a", "v1", "v1"]
    # A receiver that knows the shared secret alone passes over the other kind.
    assert fault(signature) is None
    values = ("msg_1", str(now := int(datetime.now(UTC).timestamp())), sign([private, NEW], "msg_1", now, BODY))
    assert Webhook(encode_secret(NEW)).verify(BODY, dict(zip(HEADERS, values, strict=True)))
    assert fault(sign([private], "msg_1", NOW, BODY)) is SignatureFault.BAD_SIGNATURE


def test_shared_secret_is_bytes_when_a_signing_key_is_decoded() -> None:
    assert decode_signing_key(encode_secret(OLD)) == OLD


@pytest.mark.parametrize(
    "text",
    [
        "whsk_",
        written("whsk_", RFC_SEED[:31]),
        written("whsk_", RFC_SEED + RFC_PUBLIC[:31]),
        written("whsk_", RFC_SEED + bytes(32)),
        written("whpk_", RFC_PUBLIC),
        "whsk_ö",
    ],
)
def test_bad_private_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(SecretError) as caught:
        decode_signing_key(text)
    assert text[5:] == "" or text[5:] not in str(caught.value)
    with pytest.raises(SecretError):
        public_key_of(text)
