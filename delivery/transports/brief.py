"""An event in one line, for channels that people read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from eventcenter.envelope import media_type
from eventcenter.envelope.structured import split_members

# Data's own words for how bad it is; what is not among them is not believed.
SEVERITIES = ("critical", "error", "warning", "info")
DEFAULT_SEVERITY = "info"


@dataclass(frozen=True, slots=True)
class Brief:
    """What people need of an event. `severity` is one of SEVERITIES; `data` is empty unless it is a JSON object."""

    attributes: Mapping[str, str]
    data: Mapping[str, object]
    severity: str
    summary: str

    def attribute(self, name: str) -> str:
        return self.attributes.get(name, "")


def brief_of(body: bytes) -> Brief:
    """`body`: the event in canonical structured JSON."""
    members, raw = split_members(body)
    attributes = {name: str(value) for name, value in members.items()}
    data = _object(raw, attributes.get("datacontenttype", ""))
    severity = str(data.get("severity", "")).lower()
    return Brief(attributes, data, severity if severity in SEVERITIES else DEFAULT_SEVERITY, _summary(attributes, data))


def _object(raw: bytes, content_type: str) -> Mapping[str, object]:
    if not raw or (content_type and not media_type(content_type).is_json):
        return {}
    decoded = msgspec.json.decode(raw)
    return decoded if isinstance(decoded, dict) else {}


def _summary(attributes: Mapping[str, str], data: Mapping[str, object]) -> str:
    """The data's own `summary`, or: type, subject, version."""
    said = data.get("summary")
    if isinstance(said, str) and said.strip():
        return said.strip()
    parts = (attributes.get("type"), attributes.get("subject"), data.get("version"))
    return " ".join(str(part) for part in parts if isinstance(part, str) and part)
