"""Templates: from an event to the request that a service takes. See docs/guides/templates.md."""

from subscriptions.templating.compiling import Compiled
from subscriptions.templating.errors import MissingSecretError, TemplateError
from subscriptions.templating.model import BodyKind, Template
from subscriptions.templating.registry import (
    HOOK_URL,
    MASK,
    TEMPLATES,
    check_params,
    check_url,
    compile_template,
    keep_url,
    preview,
    sample_events,
)

__all__ = [
    "HOOK_URL",
    "MASK",
    "TEMPLATES",
    "BodyKind",
    "Compiled",
    "MissingSecretError",
    "Template",
    "TemplateError",
    "check_params",
    "check_url",
    "compile_template",
    "keep_url",
    "preview",
    "sample_events",
]
