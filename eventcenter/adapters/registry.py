"""The forges. A new one is a module of its own, a line here, a kind in the models, and its tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eventcenter.adapters import github, gitlab, harbor, oci, proof
from eventcenter.adapters.message import Ignored, Message, Proof, Rules
from eventcenter.envelope import Envelope
from eventcenter.models import AdapterKind


@dataclass(frozen=True, slots=True)
class Forge:
    """`proves` judges the message before anything of it is read; `read` raises PayloadError. `proof_header` is what a 401
    names, `challenge` its WWW-Authenticate, `setup` what the admin page says about where the URL and the secret go."""

    proves: Callable[[Sequence[str], Message], Proof]
    read: Callable[[Message, Rules], list[Envelope | Ignored]]
    proof_header: str
    challenge: str
    setup: str


FORGES: dict[AdapterKind, Forge] = {
    AdapterKind.GITHUB: Forge(
        proof.github,
        github.read,
        proof.GITHUB_SIGNATURE,
        proof.GITHUB_SIGNATURE,
        "Repository or organization → Settings → Webhooks → Add webhook: Payload URL, Secret, and only the event Releases.",
    ),
    AdapterKind.GITLAB: Forge(
        proof.gitlab,
        gitlab.read,
        proof.GITLAB_TOKEN,
        "StandardWebhooks",
        "Project or group → Settings → Webhooks: URL, Signing token (before GitLab 19: Secret token), only Releases events.",
    ),
    AdapterKind.OCI: Forge(
        proof.registry,
        oci.read,
        proof.AUTHORIZATION,
        "Bearer",
        "config.yml of the registry, notifications.endpoints: url, and headers.Authorization: [Bearer SECRET].",
    ),
    AdapterKind.HARBOR: Forge(
        proof.registry,
        harbor.read,
        proof.AUTHORIZATION,
        "Bearer",
        "Project → Webhooks → New webhook: http, Artifact pushed, Endpoint URL, and Bearer SECRET as the Auth Header.",
    ),
}
