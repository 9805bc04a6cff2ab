"""The one way in which a template fails."""

from __future__ import annotations


class TemplateError(ValueError):
    """A template cannot be used as it is written, or cannot be filled from this event.

    The text is for people: it names the place in the template and holds no value of the event and no secret.
    `field`: the parameter at fault; "" when it is not known.
    """

    def __init__(self, problem: str, *, where: str = "", field: str = "") -> None:
        super().__init__(f"{where}: {problem}" if where else problem)
        self.problem = problem
        self.where = where
        self.field = field


class MissingSecretError(TemplateError):
    """A secret that the template needs is not there, or could not be opened. Not the event's fault: it may come back."""
