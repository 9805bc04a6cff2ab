"""From an endpoint's settings and an event to the Message that goes out. Pure, but for what `build` remembers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings

from delivery.transports.base import Message, Sending
from eventcenter.envelope import V1_CONTENT_TYPE, split_structured, structured_to_v1
from eventcenter.standardwebhooks import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, SigningKey, sign
from subscriptions.routing import Sink
from subscriptions.templating import Compiled, TemplateError, compile_template
from subscriptions.webhook_rules import is_reserved

STRUCTURED_CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
REPLAY_HEADER = "x-event-center-replay"
DEFAULT_TIMEOUT_S = 15.0


class ContentMode(StrEnum):
    """CloudEvents HTTP binding: the whole event in the body, or its data in the body and the rest in headers."""

    STRUCTURED = "structured"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint as the wire needs it, made once and used for many messages; see `make_target`."""

    endpoint_id: int
    url: str
    secrets: tuple[SigningKey, ...]
    mode: ContentMode
    timeout_s: float
    custom_headers: tuple[tuple[str, str], ...]
    v1: bool = False  # the form from before CloudEvents, whatever the mode
    template: Compiled | None = None  # with it the body and content-type are the template's, whatever the mode


def make_target(
    *,
    endpoint_id: int,
    url: str,
    secrets: Sequence[SigningKey],
    mode: ContentMode = ContentMode.STRUCTURED,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    custom_headers: Iterable[tuple[str, str]] = (),
    v1: bool = False,
    template: Compiled | None = None,
) -> Target:
    """`secrets`: the live ones, newest first; each adds a signature. Reserved custom headers are left out.

    A custom header takes the place of the template's of the same name; content-type stays the template's.
    """
    kept = [(name, value) for name, value in custom_headers if not is_reserved(name)]
    if template is not None:
        own = {name.lower() for name, _ in kept}
        kept = [header for header in template.headers if header[0] not in own] + kept
    return Target(endpoint_id, url, tuple(secrets), mode, timeout_s, tuple(kept), v1, template)


def build_message(target: Target, sending: Sending) -> Message:
    """One attempt. `webhook-id` is the delivery's id, the same over retries and replays; the final body is signed.

    Raises TemplateError when the template cannot be filled from this event.
    """
    webhook_id, timestamp, body = str(sending.delivery_id), str(sending.timestamp), sending.body
    headers = [(ID_HEADER, webhook_id), (TIMESTAMP_HEADER, timestamp)]
    if target.template is not None:
        body = target.template.render(body)
    elif target.v1:
        body = structured_to_v1(body)
        headers.append(("content-type", f"{V1_CONTENT_TYPE}; charset=utf-8"))
    elif target.mode is ContentMode.BINARY:
        attributes, content_type, body = split_structured(body)
        headers += (("content-type", content_type), *attributes)
    else:
        headers.append(("content-type", STRUCTURED_CONTENT_TYPE))
    headers += target.custom_headers
    if target.secrets:
        headers.append((SIGNATURE_HEADER, sign(target.secrets, webhook_id, sending.timestamp, body)))
    headers += sending.trace_headers
    if sending.replay:
        headers.append((REPLAY_HEADER, "true"))
    number, context = sending.number, sending.context
    return Message(
        sending.delivery_id, target.endpoint_id, number, target.url, headers, body, target.timeout_s, context
    )


# By endpoint. The same Sink object stands for the same settings; a template that cannot be used is known as well, so that
# a backlog does not compile it for each delivery.
_targets: dict[int, tuple[Sink, Target | TemplateError]] = {}


def build(sink: Sink, sending: Sending) -> Message:
    """The channel's Build. Raises TemplateError, MissingSecretError when a secret of the template is not there."""
    known = _targets.get(sink.endpoint_id)
    target = known[1] if known is not None and known[0] is sink else _remember(sink)
    if isinstance(target, TemplateError):
        raise type(target)(target.problem, where=target.where, field=target.field)
    return build_message(target, sending)


def _remember(sink: Sink) -> Target | TemplateError:
    made: Target | TemplateError
    try:
        made = _target(sink)
    except TemplateError as error:
        made = error.with_traceback(None)
    _targets[sink.endpoint_id] = (sink, made)
    return made


def _target(sink: Sink) -> Target:
    template = compile_template(sink.template, sink.template_params, sink.credentials) if sink.template else None
    return make_target(
        endpoint_id=sink.endpoint_id,
        url=sink.url,
        secrets=sink.secrets,
        mode=ContentMode(sink.content_mode),
        timeout_s=min(sink.timeout_s, settings.WEBHOOK_MAX_TIMEOUT_S),
        custom_headers=sink.headers,
        v1=sink.envelope_v1,
        template=template,
    )
