"""${NAME} in a text of the file stands for a variable of the environment; $${NAME} stands for the text ${NAME}. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_VARIABLE = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"

# Texts in which nothing but a variable is secret: all of it, with an authentication scheme, or as a URL's password.
_ONLY_VARIABLE_IS_SECRET = re.compile(
    rf"(?:(?:Bearer|Basic|Token) )?{_VARIABLE}|[a-z]+://[^\s:@/$]*:{_VARIABLE}@[^\s@]*", re.IGNORECASE
)


def names(written: str) -> list[str]:
    """Of the variables, each once, sorted."""
    return sorted({name for literal, name in _REFERENCE.findall(written) if not literal})


def fill(written: str, environ: Mapping[str, str]) -> str:
    """Every variable must be in `environ`."""
    return _REFERENCE.sub(lambda match: match[0][1:] if match[1] else environ[match[2]], written)


def escaped(text: str) -> str:
    """The text that `fill` turns back into this one."""
    return re.sub(_VARIABLE, lambda match: f"${match[0]}", text)


def may_be_shown(written: str) -> bool:
    """Whether a text that makes a secret holds none itself."""
    return _ONLY_VARIABLE_IS_SECRET.fullmatch(written) is not None


def solved(written: str, filled: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """(name, value) of the one variable that is not in `environ` and with which `written` becomes `filled`, if there is one."""
    absent = [name for name in names(written) if not environ.get(name)]
    if len(absent) != 1:
        return None
    pattern, end = "", 0
    for match in _REFERENCE.finditer(written):
        pattern += re.escape(written[end : match.start()]) + _pattern_of(
            match, absent[0], environ, "(?P<value>" in pattern
        )
        end = match.end()
    found = re.fullmatch(pattern + re.escape(written[end:]), filled, re.DOTALL)
    return (absent[0], found["value"]) if found and found["value"] else None


def _pattern_of(match: re.Match[str], absent: str, environ: Mapping[str, str], is_known: bool) -> str:
    if match[1]:
        return re.escape(match[0][1:])
    if match[2] != absent:
        return re.escape(environ[match[2]])
    return "(?P=value)" if is_known else "(?P<value>.*)"
