"""What the forges send, by the fields that they document, small but whole. The pages:

GitHub: docs.github.com/en/webhooks/webhook-events-and-payloads#release and #ping
GitLab: docs.gitlab.com/user/project/integrations/webhook_events/#release-events
CNCF Distribution: distribution.github.io/distribution/about/notifications/#events
Harbor: goharbor.io/docs/main/working-with-projects/project-configuration/configure-webhooks/#payload-format

Names and versions are those of real plugins; digests, ids and people are made up.
"""

from __future__ import annotations

import copy
import hashlib
from typing import Any

Json = dict[str, Any]

DIGEST = "sha256:" + "9f" * 32
OTHER_DIGEST = "sha256:" + "3c" * 32
COMMIT = "ee0a3fb31ac16e11b9dbb596ad16d4af654d08f8"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"

_USER = {"login": "eva-zhang", "id": 21031067, "html_url": "https://github.com/eva-zhang", "type": "User"}
_ASSET = {
    "url": "https://api.github.com/repos/acme/airflow-provider-kafka/releases/assets/1",
    "id": 1,
    "name": "airflow-provider-kafka-1.10.1.tar.gz",
    "label": None,
    "state": "uploaded",
    "content_type": "application/gzip",
    "size": 48_213,
    "digest": DIGEST,
    "download_count": 0,
    "created_at": "2026-10-05T15:20:01Z",
    "updated_at": "2026-10-05T15:20:02Z",
    "browser_download_url": (
        "https://github.com/acme/airflow-provider-kafka/releases/download/v1.10.1/airflow-provider-kafka-1.10.1.tar.gz"
    ),
    "uploader": _USER,
}
_GITHUB: Json = {
    "action": "published",
    "release": {
        "url": "https://api.github.com/repos/acme/airflow-provider-kafka/releases/17372790",
        "assets_url": "https://api.github.com/repos/acme/airflow-provider-kafka/releases/17372790/assets",
        "html_url": "https://github.com/acme/airflow-provider-kafka/releases/tag/v1.10.1",
        "id": 17372790,
        "node_id": "MDc6UmVsZWFzZTE3MzcyNzkw",
        "tag_name": "v1.10.1",
        "target_commitish": COMMIT,
        "name": "1.10.1",
        "draft": False,
        "author": _USER,
        "prerelease": False,
        "created_at": "2026-10-05T15:19:25Z",
        "published_at": "2026-10-05T15:20:53Z",
        "assets": [_ASSET],
        "tarball_url": "https://api.github.com/repos/acme/airflow-provider-kafka/tarball/v1.10.1",
        "zipball_url": "https://api.github.com/repos/acme/airflow-provider-kafka/zipball/v1.10.1",
        "body": "Fixes the consumer's offsets.",
    },
    "repository": {
        "id": 186853002,
        "name": "airflow-provider-kafka",
        "full_name": "acme/airflow-provider-kafka",
        "private": False,
        "html_url": "https://github.com/acme/airflow-provider-kafka",
        "default_branch": "main",
    },
    "sender": _USER,
}
_GITHUB_PING: Json = {
    "zen": "Keep it logically awesome.",
    "hook_id": 30,
    "hook": {"type": "Repository", "id": 30, "name": "web", "active": True, "events": ["release"]},
    "repository": _GITHUB["repository"],
    "sender": _USER,
}
_PROJECT_URL = "https://gitlab.example.com/acme/release-webhook-example"
_GITLAB: Json = {
    "id": 1,
    "created_at": "2026-11-02 12:55:12 UTC",
    "description": "v1.1 has been released",
    "name": "v1.1",
    "released_at": "2026-11-02 12:55:12 UTC",
    "tag": "v1.1",
    "object_kind": "release",
    "project": {
        "id": 2,
        "name": "release-webhook-example",
        "description": "",
        "web_url": _PROJECT_URL,
        "avatar_url": None,
        "git_ssh_url": "ssh://git@gitlab.example.com/acme/release-webhook-example.git",
        "git_http_url": f"{_PROJECT_URL}.git",
        "namespace": "Acme",
        "visibility_level": 0,
        "path_with_namespace": "acme/release-webhook-example",
        "default_branch": "main",
        "ci_config_path": None,
        "homepage": _PROJECT_URL,
    },
    "url": f"{_PROJECT_URL}/-/releases/v1.1",
    "action": "create",
    "assets": {
        "count": 3,
        "links": [
            {"id": 1, "link_type": "other", "name": "Changelog", "url": "https://example.net/changelog"},
            {
                "id": 2,
                "link_type": "package",
                "name": "plugin-1.1.tgz",
                "url": f"https://packages.example.com/plugin-1.1.tgz#sha256={DIGEST[7:]}",
            },
        ],
        "sources": [{"format": "zip", "url": f"{_PROJECT_URL}/-/archive/v1.1/release-webhook-example-v1.1.zip"}],
    },
    "commit": {
        "id": COMMIT,
        "message": "Release v1.1",
        "title": "Release v1.1",
        "timestamp": "2026-10-31T14:58:32+11:00",
        "url": f"{_PROJECT_URL}/-/commit/{COMMIT}",
        "author": {"name": "Example User", "email": "user@example.com"},
    },
}
_OCI_PUSH: Json = {
    "id": "320678d8-ca14-430f-8bb6-4ca139cd83f7",
    "timestamp": "2026-03-09T14:44:26.402973972-08:00",
    "action": "push",
    "target": {
        "mediaType": OCI_MANIFEST,
        "digest": DIGEST,
        "size": 708,
        "length": 708,
        "repository": "acme/pytest-celery",
        "url": f"https://registry.example.com/v2/acme/pytest-celery/manifests/{DIGEST}",
        "tag": "1.2.0",
    },
    "request": {
        "id": "6df24a34-0959-4923-81ca-14f09767db19",
        "addr": "192.168.64.11:42961",
        "host": "registry.example.com",
        "method": "PUT",
        "useragent": "oras/1.2",
    },
    "actor": {"name": "release-bot"},
    "source": {"addr": "xtal.local:5000", "instanceID": "a53db899-3b4b-4a62-a067-8dd013beaca4"},
}
_HARBOR_CONTENT: Json = {
    "resources": [
        {"digest": DIGEST, "tag": "1.2.0", "resource_url": "hub.example.com/plugins/pytest-celery:1.2.0"},
    ],
    "repository": {
        "date_created": 1586922308,
        "name": "pytest-celery",
        "namespace": "plugins",
        "repo_full_name": "plugins/pytest-celery",
        "repo_type": "private",
    },
}
_HARBOR: Json = {
    "type": "PUSH_ARTIFACT",
    "occur_at": 1586922308,
    "operator": "robot$ci",
    "event_data": _HARBOR_CONTENT,
}
_HARBOR_CLOUDEVENT: Json = {
    "specversion": "1.0",
    "id": "66e18103-09c1-41f6-982f-37df223f3eeb",
    "requestid": "51c0b694-0168-4f3c-b0db-282565455d7b",
    "source": "/projects/2/webhook/policies/15",
    "type": "harbor.artifact.pushed",
    "datacontenttype": "application/json",
    "time": "2020-04-15T03:45:08Z",
    "data": _HARBOR_CONTENT,
    "operator": "robot$ci",
}


def changed(payload: Json, **changes: Any) -> Json:
    """A copy; `a__b__0` is the path a.b[0], and `...` takes the member out."""
    made = copy.deepcopy(payload)
    for name, value in changes.items():
        *way, last = name.split("__")
        inner: Any = made
        for step in way:
            inner = inner[int(step)] if step.isdigit() else inner[step]
        if value is ...:
            del inner[last]
        else:
            inner[int(last) if last.isdigit() else last] = value
    return made


def github(**changes: Any) -> Json:
    return changed(_GITHUB, **changes)


def github_ping() -> Json:
    return changed(_GITHUB_PING)


def github_asset(name: str, **changes: Any) -> Json:
    url = f"https://github.com/acme/airflow-provider-kafka/releases/download/v1.10.1/{name}"
    made = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
    return changed(_ASSET, name=name, browser_download_url=url, digest=made) | changes


def gitlab(**changes: Any) -> Json:
    return changed(_GITLAB, **changes)


def oci_push(**changes: Any) -> Json:
    return changed(_OCI_PUSH, **changes)


def oci(*events: Any) -> Json:
    return {"events": list(events or [oci_push()])}


def harbor(**changes: Any) -> Json:
    return changed(_HARBOR, **changes)


def harbor_cloudevent(**changes: Any) -> Json:
    return changed(_HARBOR_CLOUDEVENT, **changes)
