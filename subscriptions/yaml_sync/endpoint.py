"""An endpoint of the file: what is common to all, and what its channel asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial

from subscriptions.channels.base import ChannelSpec, Field
from subscriptions.channels.checks import check_settings, split_settings, typed, with_defaults, without_defaults
from subscriptions.channels.registry import SPECS, spec_of
from subscriptions.models import MAX_IN_FLIGHT, MAX_RATE_PER_S, MIN_RATE_PER_S, Channel, ContentMode, Lane
from subscriptions.templating import TEMPLATES, Template, check_params, keep_url
from subscriptions.templating import check_url as check_template_url
from subscriptions.webhook_rules import MAX_HEADERS, check_header, check_url
from subscriptions.yaml_sync import variables
from subscriptions.yaml_sync.reader import Node

MIN_TIMEOUT_S, MAX_TIMEOUT_S, DEFAULT_TIMEOUT_S = 0.1, 20.0, 15.0
WEBHOOK_KEYS = ("url", "headers", "template", "template_params")


@dataclass(frozen=True, slots=True)
class Settings:
    """`config` and `credentials` have their ${VAR}s filled in; `written`, for plans and the audit trail, has not."""

    config: Mapping[str, object] = field(default_factory=dict, repr=False)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    written: Mapping[str, object] = field(default_factory=dict)

    @property
    def with_variables(self) -> dict[str, str]:
        """Those of `written` in which something was filled in."""
        texts = ((name, text) for name, text in self.written.items() if isinstance(text, str))
        return {name: text for name, text in texts if variables.names(text)}

    @property
    def shown(self) -> dict[str, object]:
        """Those of `config` that the file names, as written."""
        return {name: value for name, value in self.written.items() if name in self.config}


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """How an endpoint is reached. `written_url` still has its ${VAR}s: values of variables are for the wire only."""

    channel: str
    url: str = field(repr=False)
    written_url: str
    content_mode: str
    timeout_s: float
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    written_headers: Mapping[str, str] = field(repr=False)
    settings: Settings
    template: str
    params: Settings
    lane: str
    rate_limit: float | None
    max_in_flight: int | None

    @property
    def credentials(self) -> dict[str, str]:
        return {**self.settings.credentials, **self.params.credentials, **keep_url(self._template, self.url)[1]}

    @property
    def kept_url(self) -> str:
        """For Endpoint.url."""
        return keep_url(self._template, self.url)[0]

    @property
    def has_secret_url(self) -> bool:
        return self._template is not None and self._template.url.is_secret

    @property
    def _template(self) -> Template | None:
        return TEMPLATES.get(self.template)

    @property
    def destination(self) -> str:
        """For people, without any variable's value."""
        spec = spec_of(self.channel)
        url = self.kept_url if self.has_secret_url else self.written_url
        return url or (spec.destination({**self.settings.config, **self.settings.shown}) if spec else "")


def read_endpoint(node: Node) -> EndpointSettings:
    channel = node.choice("channel", [channel.value for channel in SPECS], Channel.WEBHOOK.value)
    spec = spec_of(channel) or SPECS[Channel.WEBHOOK]
    template = _template(node)
    check = check_url if template is None else partial(check_template_url, template)
    written_url, url = node.expanded("url", check) if spec.takes_url else ("", "")
    written_headers = node.mapping("headers")
    if not spec.takes_url:
        _refuse_webhook_keys(node, spec)
    return EndpointSettings(
        channel=channel,
        url=url,
        written_url=written_url,
        content_mode=node.choice("content_mode", ContentMode.values, ContentMode.STRUCTURED),
        timeout_s=node.number("timeout_s", DEFAULT_TIMEOUT_S, MIN_TIMEOUT_S, MAX_TIMEOUT_S),
        headers=_headers(node, written_headers),
        written_headers=written_headers,
        settings=_settings(node, spec),
        template=template.name if template else "",
        params=_params(node, template),
        lane=node.choice("lane", Lane.values, Lane.FAST),
        rate_limit=node.optional_number("rate_limit", MIN_RATE_PER_S, MAX_RATE_PER_S),
        max_in_flight=node.optional_integer("max_in_flight", 1, MAX_IN_FLIGHT),
    )


def _refuse_webhook_keys(node: Node, spec: ChannelSpec) -> None:
    for key in WEBHOOK_KEYS:
        if node.has(key):
            node.note(key, f"is for webhooks; the channel {spec.channel.value} has settings")
    if node.has("content_mode") and not spec.content_modes:
        node.note("content_mode", f"means nothing to the channel {spec.channel.value}")


def _settings(node: Node, spec: ChannelSpec) -> Settings:
    written = node.values("settings")
    filled = _filled(node, "settings", spec.fields, written)
    config, credentials = split_settings(spec.fields, filled)
    config = with_defaults(plain_fields(spec.fields), config)
    _note(node, "settings", check_settings(spec, config, credentials), written.keys() - filled.keys())
    return Settings(config, credentials, _set_ones(written))


def _template(node: Node) -> Template | None:
    name = node.choice("template", list(TEMPLATES), "")
    if not name and node.has("template_params"):
        node.note("template_params", "is for a template; none is named")
    return TEMPLATES.get(name)


def _params(node: Node, template: Template | None) -> Settings:
    written = node.values("template_params")
    if template is None:
        return Settings()
    filled = _filled(node, "template_params", template.fields, written)
    params, credentials = split_settings(template.fields, filled)
    params = without_defaults(plain_fields(template.fields), params)
    _note(node, "template_params", check_params(template, params, credentials), written.keys() - filled.keys())
    return Settings(params, credentials, _set_ones(written))


def _note(node: Node, key: str, problems: Mapping[str, str], unfilled: Set[str]) -> None:
    """Of what is in `unfilled` it was noted already what is wrong."""
    for name, problem in problems.items():
        if name not in unfilled:
            node.note(f"{key}.{name}" if name else key, problem)


def _filled(node: Node, key: str, fields: Sequence[Field], written: Mapping[str, object]) -> dict[str, object]:
    """Every ${VAR} filled in; what came of one is typed as its field is. Without those of which a problem was noted."""
    by_name = {item.name: item for item in fields}
    filled: dict[str, object] = {}
    for name, value in written.items():
        known = by_name.get(name)
        if known is None and value in (None, ""):  # what is not set is not looked at again
            node.note(f"{key}.{name}", f"is not known here; known are {', '.join(by_name) or 'none'}")
        elif isinstance(value, str):
            text = node.fill(f"{key}.{name}", value)
            if text is not None:
                filled[name] = typed(known, text) if known and text != value else text
        elif value is not None and known and known.kind == "secret":
            node.note(f"{key}.{name}", "takes text; put it in quotes")
        else:
            filled[name] = value
    return filled


def _set_ones(written: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in written.items() if value is not None}


def plain_fields(fields: Sequence[Field]) -> list[Field]:
    return [item for item in fields if item.kind != "secret"]


def _headers(node: Node, written: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    if len(written) > MAX_HEADERS:
        node.note("headers", f"takes at most {MAX_HEADERS}")
    pairs = []
    for name, text in written.items():
        value = node.fill(f"headers.{name}", text)
        problem = check_header(name, value) if value is not None else None
        if problem:
            node.note(f"headers.{name}", problem)
        pairs.append((name, value or ""))
    return tuple(pairs)
