"""GitLab: "Trigger a pipeline with a token", POST /projects/:id/trigger/pipeline.

Documented there: `token` and `ref` are required, `variables[KEY]` are the pipeline's variables (texts); a form. The id is a
number or the project's path, URL-encoded; the answer is 201.
"""

from __future__ import annotations

from subscriptions.channels.base import Field
from subscriptions.templating.catalog.common import matches, url_rule
from subscriptions.templating.model import BodyKind, Template

_NAME = "[A-Za-z0-9._-]+"
_TRIGGER = rf"/api/v4/projects/(?:[0-9]+|{_NAME}(?:%2[Ff]{_NAME})+)/trigger/pipeline"

GITLAB = Template(
    name="gitlab",
    label="GitLab pipeline trigger",
    description="Runs a pipeline of a project, with the release in its variables.",
    docs_url="https://docs.gitlab.com/api/pipeline_triggers/#trigger-a-pipeline-with-a-token",
    answer="201",
    url=url_rule(
        "https://gitlab.com/api/v4/projects/12345/trigger/pipeline",
        _TRIGGER,
        hosts=("gitlab.com",),
        # An instance that does not have its host to itself has a path before /api.
        elsewhere=rf"(?:/[A-Za-z0-9._~-]+)*{_TRIGGER}",
    ),
    fields=(
        Field("token", "Trigger token", kind="secret", help="Made in the project under Settings, CI/CD."),
        Field(
            "ref",
            "Branch or tag",
            default="main",
            help="What the pipeline runs on.",
            check=matches(r"[^\s~^:?*\[\\]{1,255}", "this is no name of a branch or tag"),
        ),
    ),
    headers=(("accept", "application/json"),),
    kind=BodyKind.FORM,
    body={
        "token": "{{ secrets.token }}",
        "ref": "{{ params.ref }}",
        "variables": {
            "EVENT_ID": "{{ event.id }}",
            "EVENT_TYPE": "{{ event.type }}",
            "EVENT_SUBJECT": "{{ event.subject | default: omit }}",
            "EVENT_TIME": "{{ event.time | default: omit }}",
            "EVENT_TENANT": "{{ event.tenant | default: omit }}",
            "PLUGIN_ID": "{{ event.data.plugin_id | default: omit }}",
            "PLUGIN_VERSION": "{{ event.data.version | default: omit }}",
            "PLUGIN_CHANNEL": "{{ event.data.channel | default: omit }}",
            "PLUGIN_SEVERITY": "{{ event.data.severity | default: omit }}",
            "PLUGIN_COMMIT": "{{ event.data.commit | default: omit }}",
            "PLUGIN_CHANGELOG_URL": "{{ event.data.changelog_url | default: omit }}",
            "PLUGIN_ARTIFACT_URL": "{{ event.data.artifact.url | default: omit }}",
            "PLUGIN_ARTIFACT_DIGEST": "{{ event.data.artifact.digest | default: omit }}",
            "EVENT_DATA": "{{ event.data | default: omit }}",
        },
    },
)
