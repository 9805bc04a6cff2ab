"""GitHub: "Create a repository dispatch event", POST /repos/{owner}/{repo}/dispatches.

Documented there: `event_type`, at most 100 characters; `client_payload`, an object of at most 10 properties and less than
64 KB; Accept: application/vnd.github+json and X-GitHub-Api-Version are recommended; a token with write access to the
repository's contents; the answer is 204. An enterprise server has the same under /api/v3.
"""

from __future__ import annotations

from subscriptions.channels.base import Field
from subscriptions.templating.catalog.common import header_secret, url_rule
from subscriptions.templating.model import Template, Written

MAX_EVENT_TYPE_CHARS = 100
MAX_BODY_BYTES = 64 * 1000 - 1  # "less than 64KB", by the smaller reading, for all of the body
API_VERSION = "2022-11-28"
_REPOSITORY = r"/repos/[A-Za-z0-9-]+/[A-Za-z0-9._-]+/dispatches"

GITHUB = Template(
    name="github",
    label="GitHub repository_dispatch",
    description="Starts the workflows of a repository that wait for a repository_dispatch event.",
    docs_url="https://docs.github.com/en/rest/repos/repos#create-a-repository-dispatch-event",
    answer="204",
    url=url_rule(
        "https://api.github.com/repos/OWNER/REPO/dispatches",
        _REPOSITORY,
        hosts=("api.github.com",),
        elsewhere=rf"/api/v3{_REPOSITORY}",
    ),
    fields=(
        Field(
            "token",
            "Token",
            kind="secret",
            required=False,
            help="A fine-grained token with write access to the repository's contents. Without it, give the endpoint an "
            "Authorization header of its own.",
            check=header_secret,
        ),
        Field(
            "event_type",
            "event_type",
            default="{{ event.type }}",
            help="What the workflow names under on.repository_dispatch.types; at most 100 characters.",
        ),
    ),
    headers=(
        ("accept", "application/vnd.github+json"),
        ("x-github-api-version", API_VERSION),
        ("authorization", "{% if secrets.token != '' %}Bearer {{ secrets.token }}{% endif %}"),
    ),
    max_body_bytes=MAX_BODY_BYTES,
    body={
        "event_type": Written("event_type", max_chars=MAX_EVENT_TYPE_CHARS),
        "client_payload": {
            "id": "{{ event.id }}",
            "type": "{{ event.type }}",
            "source": "{{ event.source }}",
            "subject": "{{ event.subject | default: omit }}",
            "time": "{{ event.time | default: omit }}",
            "tenant": "{{ event.tenant | default: omit }}",
            "data": "{{ event.data | default: omit }}",
        },
    },
)
