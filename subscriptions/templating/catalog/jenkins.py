"""Jenkins with the Generic Webhook Trigger plugin: POST JENKINS_URL/generic-webhook-trigger/invoke.

Documented in the plugin's README: any JSON, from which a job takes values by JSONPath; the token of the job comes as a
query parameter, a `token` header or a bearer token, and needs no other login. We send the header: a URL is kept in logs.
Without a token, a Jenkins with security on wants a login: an Authorization header of the endpoint's own.
"""

from __future__ import annotations

from subscriptions.channels.base import Field
from subscriptions.templating.catalog.common import header_secret, url_rule
from subscriptions.templating.model import Template

JENKINS = Template(
    name="jenkins",
    label="Jenkins generic webhook trigger",
    description="Starts the jobs that the Generic Webhook Trigger plugin finds by a token.",
    docs_url="https://plugins.jenkins.io/generic-webhook-trigger/",
    answer="200",
    url=url_rule(
        "https://jenkins.example.com/generic-webhook-trigger/invoke",
        r"(?:/[A-Za-z0-9._~-]+)*/generic-webhook-trigger/invoke",
    ),
    fields=(
        Field(
            "token",
            "Token",
            kind="secret",
            required=False,
            help="As in the job's trigger; only jobs with this token start. Without it all jobs that have none start.",
            check=header_secret,
        ),
    ),
    headers=(("accept", "application/json"), ("token", "{{ secrets.token }}")),
    body={
        "event_id": "{{ event.id }}",
        "event_type": "{{ event.type }}",
        "subject": "{{ event.subject | default: omit }}",
        "time": "{{ event.time | default: omit }}",
        "tenant": "{{ event.tenant | default: omit }}",
        "plugin_id": "{{ event.data.plugin_id | default: omit }}",
        "version": "{{ event.data.version | default: omit }}",
        "channel": "{{ event.data.channel | default: omit }}",
        "severity": "{{ event.data.severity | default: omit }}",
        "data": "{{ event.data | default: omit }}",
    },
)
