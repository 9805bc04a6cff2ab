"""Plain webhook: flat JSON for receivers that know no CloudEvents. Ours, so its description is the guide's."""

from __future__ import annotations

from subscriptions.templating.model import Template, UrlRule

PLAIN = Template(
    name="plain",
    label="Plain webhook",
    description="The event as plain JSON: id, type, source, subject, time, tenant and data.",
    docs_url="https://www.standardwebhooks.com/",
    answer="any 2xx",
    url=UrlRule("https://hooks.example.com/anything", lambda _: None),
    body={
        "id": "{{ event.id }}",
        "type": "{{ event.type }}",
        "source": "{{ event.source }}",
        "subject": "{{ event.subject | default: omit }}",
        "timestamp": "{{ event.time | default: omit }}",
        "tenant": "{{ event.tenant | default: omit }}",
        "data": "{{ event.data | default: omit }}",
    },
)
