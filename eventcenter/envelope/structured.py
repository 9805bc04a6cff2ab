"""The JSON event format: one event, a batch, and the canonical form that we send and store. Pure."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import msgspec

from eventcenter.envelope.attributes import MAX_EXTENSIONS, build_envelope, too_many_extensions
from eventcenter.envelope.model import (
    DEFAULT_CONTENT_TYPE,
    Envelope,
    EnvelopeError,
    FieldProblem,
    Scalar,
    shown_name,
    wire_attributes,
)
from eventcenter.envelope.payload import (
    MAX_DATA_DEPTH,
    TOO_DEEP,
    MediaType,
    RefusedError,
    check_depth,
    check_no_nul,
    check_utf8,
    decode_base64,
    json_text,
    media_type,
    repeated_names,
)

STRUCTURED_CONTENT_TYPE = "application/cloudevents+json"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"

T = TypeVar("T")

_JSON = MediaType(is_json=True, is_utf8=True, is_cloudevents=False)


class _CommonEvent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What nearly every event has: only named attributes, all of them strings. One C call decodes it."""

    specversion: str | None = None
    id: str | None = None
    source: str | None = None
    type: str | None = None
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    tenant: str | None = None
    tags: str | None = None
    traceparent: str | None = None
    idempotencykey: str | None = None
    partitionkey: str | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: str | None = None


class Members(NamedTuple):
    """The members of an event's JSON object; `data` is the raw JSON text or None for none."""

    attributes: dict[str, Any]
    data: bytes | None
    data_base64: object


_common_decoder = msgspec.json.Decoder(_CommonEvent)
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def parse_structured(body: bytes) -> Envelope:
    """One event in the JSON event format. Raises EnvelopeError."""
    check_text(body)
    return _parse_event(body)


def check_text(body: bytes) -> None:
    """That it can be one event's JSON text. Raises EnvelopeError."""
    try:
        check_utf8(body)
        check_depth(body, MAX_DATA_DEPTH + 1)
    except RefusedError as refused:
        raise EnvelopeError([FieldProblem("body", str(refused))]) from None


def parse_batch(body: bytes) -> list[Envelope]:
    """The events of a JSON batch, in order; how many there may be is the caller's rule.

    Raises EnvelopeError with the problems of all events, each with its event's index.
    """
    return parse_each(body, _parse_event)


def parse_each(body: bytes, parse: Callable[[bytes], Envelope]) -> list[Envelope]:
    """The events of a JSON array, each by `parse`. Raises EnvelopeError as parse_batch does."""
    envelopes: list[Envelope] = []
    problems: list[FieldProblem] = []
    for index, raw in enumerate(_batch_members(body)):
        try:
            envelopes.append(parse(bytes(raw)))
        except EnvelopeError as error:
            problems += [replace(problem, index=index) for problem in error.problems]
    if problems:
        raise EnvelopeError(problems)
    return envelopes


def _batch_members(body: bytes) -> list[msgspec.Raw]:
    try:
        check_utf8(body)
        check_depth(body, MAX_DATA_DEPTH + 2)
        return _array_decoder.decode(body)
    except RefusedError as refused:
        message = str(refused)
    except RecursionError:
        message = TOO_DEEP
    except msgspec.ValidationError:
        message = "must be a JSON array of events"
    except msgspec.DecodeError as error:
        message = f"must be JSON: {error}"
    raise EnvelopeError([FieldProblem("body", message)])


def _parse_event(body: bytes) -> Envelope:
    members = _decode_members(body)
    problems: list[FieldProblem] = []
    data = data_of(members, problems)
    return build_envelope(members.attributes, data, problems)


def _decode_members(body: bytes) -> Members:
    return decoded(lambda text: _common_members(text) or _all_members(text), body)


def decoded(read: Callable[[bytes], T], body: bytes) -> T:
    """What `read` makes of an event's JSON text. Raises EnvelopeError for what msgspec does not take."""
    try:
        return read(body)
    except RecursionError:
        message = TOO_DEEP
    except msgspec.ValidationError:
        message = "must be a JSON object with an event's attributes"
    except msgspec.DecodeError as error:
        message = f"must be JSON: {error}"
    raise EnvelopeError([FieldProblem("body", message)])


def _common_members(body: bytes) -> Members | None:
    """The quick way, for an event of only named string attributes without escaped quotes; None for any other.

    The decoder takes the last of two members of one name. The count finds them without a second parse: every member
    stands between quotes, so with nothing repeated the body has exactly the quotes that the decoded members need.
    """
    try:
        event = _common_decoder.decode(body)
    except msgspec.ValidationError:
        return None
    members = msgspec.structs.asdict(event)
    raw = members.pop("data")
    encoded = members.pop("data_base64")
    data = None if raw is msgspec.UNSET else bytes(raw)
    strings = len(members) + 1 - list(members.values()).count(None) - (encoded is None)
    quotes = 4 * strings + (0 if data is None else 2 + data.count(b'"'))
    if body.count(b'"') != quotes:
        return None
    return Members(members, data, encoded)


def _all_members(body: bytes) -> Members:
    """Any event. Raises EnvelopeError for a name that stands twice, msgspec's errors for what is no JSON object."""
    raws = raw_members(body)
    data = raws.pop("data", None)
    values: dict[str, Any] = {name: msgspec.json.decode(raw) for name, raw in raws.items()}
    encoded = values.pop("data_base64", None)
    return Members(values, None if data is None else bytes(data), encoded)


def raw_members(body: bytes) -> dict[str, msgspec.Raw]:
    """A JSON object's members, each name once. Raises like _all_members."""
    raws = _object_decoder.decode(body)
    if len(raws) > MAX_EXTENSIONS + len(_CommonEvent.__struct_fields__):
        raise EnvelopeError([too_many_extensions()])
    _refuse_repeated_names(body, raws)
    return raws


def split_members(body: bytes) -> tuple[dict[str, Scalar], bytes]:
    """The attributes and the data of `to_structured`'s bytes. Nothing is checked again: those bytes are our own."""
    members = _decode_members(body)
    return {name: value for name, value in members.attributes.items() if value is not None}, data_of(members, [])


def _refuse_repeated_names(body: bytes, raws: dict[str, msgspec.Raw]) -> None:
    if body.count(b'"') == 2 * len(raws) + sum(bytes(raw).count(b'"') for raw in raws.values()):
        return
    repeated = repeated_names(body)
    if repeated:
        raise EnvelopeError(FieldProblem(shown_name(name), "must stand only once in the event") for name in repeated)


def data_of(members: Members, problems: list[FieldProblem]) -> bytes:
    """The checked payload; adds to `problems` and gives no bytes when it is wrong."""
    if members.data is not None and members.data_base64 is not None:
        problems.append(FieldProblem("data", "must not stand beside data_base64"))
        return b""
    try:
        if members.data_base64 is not None:
            return _encoded_data(members.data_base64, _declared(members))
        return b"" if members.data is None else _plain_data(members.data, _declared(members))
    except RefusedError as refused:
        field = "data" if members.data_base64 is None else "data_base64"
        problems.append(FieldProblem(field, str(refused)))
        return b""


def _declared(members: Members) -> MediaType:
    declared = members.attributes.get("datacontenttype")
    if not isinstance(declared, str):
        return _JSON
    try:
        return media_type(declared)
    except RefusedError:  # the attribute's own check reports it
        return MediaType(is_json=False, is_utf8=True, is_cloudevents=False)


def _encoded_data(value: object, declared: MediaType) -> bytes:
    data = decode_base64(value)
    return json_text(data) if declared.is_json else data


def _plain_data(raw: bytes, declared: MediaType) -> bytes:
    check_no_nul(raw)
    if declared.is_json:
        return raw
    content = msgspec.json.decode(raw)
    if content is None:
        return b""
    if not isinstance(content, str):
        raise RefusedError("must be a string when datacontenttype is not a JSON type; use data_base64 for bytes")
    if not declared.is_utf8:
        raise RefusedError("must be sent as data_base64 when datacontenttype names a charset other than UTF-8")
    return content.encode()


def to_structured(envelope: Envelope) -> bytes:
    """The canonical JSON form: equal envelopes give equal bytes, JSON data stands in it byte for byte.

    Data of a JSON type must be one JSON text, as every parser leaves it.
    """
    return with_data(msgspec.json.encode(wire_attributes(envelope)), envelope.datacontenttype, envelope.data)


def with_data(head: bytes, declared: str, data: bytes, name: str = "data") -> bytes:
    """A JSON object's text with the data as its last member, or as `name`_base64 when its declared type is not JSON."""
    if not data:
        return head
    if declared == DEFAULT_CONTENT_TYPE or media_type(declared).is_json:
        return b'%b,"%b":%b}' % (head[:-1], name.encode(), data)
    return b'%b,"%b_base64":"%b"}' % (head[:-1], name.encode(), base64.b64encode(data))
