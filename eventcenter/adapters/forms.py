"""The admin's form: what an adapter takes, and as what. Each line of a list is one pattern or one name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError

from eventcenter.adapters.release import is_plugin_id
from eventcenter.models import Adapter

MAX_LINES = 200
MAX_LINE_CHARS = 300

if TYPE_CHECKING:
    AdapterModelForm = forms.ModelForm[Adapter]
else:
    AdapterModelForm = forms.ModelForm


class LinesField(forms.CharField):
    """A list of texts, one a line; empty lines are left out."""

    widget = forms.Textarea(attrs={"rows": 4, "cols": 70, "spellcheck": "false"})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, strip=False, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        lines = [line.strip() for line in (value or "").splitlines()]
        return [line for line in lines if line]

    def validate(self, value: Any) -> None:
        if len(value) > MAX_LINES or any(len(line) > MAX_LINE_CHARS for line in value):
            raise ValidationError(f"Takes at most {MAX_LINES} lines of at most {MAX_LINE_CHARS} characters.")

    def run_validators(self, value: Any) -> None:
        """A line's own bound is checked in `validate`."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.to_python(data))


class AdapterForm(AdapterModelForm):
    repositories = LinesField(
        help_text="Patterns such as acme/* of the repositories whose releases count, one a line. Empty: all of them."
    )
    named_plugins = LinesField(
        label="Plugin ids",
        help_text="repository = plugin id, one a line. A repository that is not named here: its last part, in lower case.",
    )
    media_types = LinesField(
        help_text="OCI registries only: the manifests' media types that count, one a line. Empty: images and indexes."
    )

    class Meta:
        model = Adapter
        fields = (
            "tenant",
            "kind",
            "name",
            "active",
            "repositories",
            "tag_prefix",
            "asset_pattern",
            "media_types",
            "prereleases",
        )
        help_texts: ClassVar = {
            "tag_prefix": "What tags begin with before the version, such as payments-gateway/ — others are ignored.",
            "asset_pattern": "Pattern such as *.tgz of the file that is the plugin. Empty: the first whose digest is known.",
            "prereleases": "Take pre-releases too, on their channel (candidate, beta, nightly).",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "named_plugins" in self.fields:
            self.initial["named_plugins"] = [f"{name} = {plugin}" for name, plugin in self.instance.plugin_ids.items()]

    def clean_named_plugins(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for number, line in enumerate(self.cleaned_data["named_plugins"], 1):
            name, sign, plugin = (part.strip() for part in line.partition("="))
            if not (name and sign and is_plugin_id(plugin)):
                raise ValidationError(
                    f"Line {number} takes repository = plugin id, the id being words of a-z and 0-9 joined by . _ or -"
                )
            found[name] = plugin
        return found

    def save(self, commit: bool = True) -> Adapter:
        self.instance.plugin_ids = self.cleaned_data["named_plugins"]
        return super().save(commit)
