"""Strict, typed readers of the environment: a bad value stops the start with the variable's name and what it takes."""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})
CLUSTER = re.compile("[a-z0-9-]{1,40}")
SERVERS = re.compile(r"[^\s,;=:]+:[0-9]{1,5}(,[^\s,;=:]+:[0-9]{1,5})*")
PLACE = re.compile("[a-z0-9-]{1,63}")  # a tenant's slug, or platform
ADDRESS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+|[^@<>]*<[^\s@<>,;]+@[^\s@<>,;]+>")
MAIL_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}  # RFC 5321, 6409, 8314
SERVICE_VARIABLES = ("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")


def load_stack_file(directory: Path, environ: dict[str, str] | os._Environ[str]) -> None:
    """Take what a running `make run` wrote to `directory`/env, unless a service is already set by hand."""
    path = directory / "env"
    if any(name in environ for name in SERVICE_VARIABLES) or not path.is_file():
        return
    for line in path.read_text().splitlines():
        name, found, value = line.partition("=")
        if found and not name.startswith("#"):
            environ.setdefault(name.strip(), value.strip())


class Env:
    """Reads one mapping of strings. Every method raises ImproperlyConfigured naming the variable."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str | None = None) -> str:
        value = self._environ.get(name, "").strip()
        if value:
            return value
        if default is None:
            raise ImproperlyConfigured(f"{name} is not set and has no default.")
        return default

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise ImproperlyConfigured(f"{name} is {value!r}; it takes one of {', '.join(choices)}.")
        return value

    def boolean(self, name: str, default: bool) -> bool:
        value = self.text(name, str(default)).lower()
        if value in TRUE_WORDS:
            return True
        if value in FALSE_WORDS:
            return False
        raise ImproperlyConfigured(f"{name} is {value!r}; it takes true or false.")

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        value = self.text(name, str(default))
        if re.fullmatch("-?[0-9]{1,18}", value) and least <= int(value) <= most:
            return int(value)
        raise ImproperlyConfigured(f"{name} is {value!r}; it takes a whole number from {least} to {most}.")

    def number(self, name: str, default: float, least: float, most: float) -> float:
        value = self.text(name, str(default))
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) and least <= float(value) <= most:
            return float(value)
        raise ImproperlyConfigured(f"{name} is {value!r}; it takes a number from {least} to {most}.")

    def words(self, name: str, default: str = "") -> list[str]:
        return [word.strip() for word in self.text(name, default).split(",") if word.strip()]

    def networks(self, name: str, default: str = "") -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        try:
            return tuple(ipaddress.ip_network(word) for word in self.words(name, default))
        except ValueError as error:
            raise ImproperlyConfigured(f"{name}: {error}; it takes CIDRs, comma separated, e.g. 10.0.0.0/8.") from None

    def database(self, name: str, default: str) -> dict[str, object]:
        """postgresql://user:password@host:port/name → the five keys that Django takes. A query would be dropped in silence
        (sslmode among it), so none is taken; libpq's own variables (PGSSLMODE …) say the rest."""
        try:
            url = urlsplit(self.text(name, default))
            port = url.port
        except ValueError:
            url, port = urlsplit(""), None
        if url.scheme not in ("postgresql", "postgres") or not url.path.strip("/") or url.query or url.fragment:
            raise ImproperlyConfigured(
                f"{name} takes postgresql://user:password@host:port/name; TLS and the like by PGSSLMODE etc."
            )
        return {
            "NAME": unquote(url.path.strip("/")),
            "USER": unquote(url.username or ""),
            "PASSWORD": unquote(url.password or ""),
            "HOST": unquote(url.hostname or ""),
            "PORT": str(port or ""),
        }

    def url(self, name: str, default: str, schemes: tuple[str, ...]) -> str:
        """An empty `default` may stay empty."""
        value = self.text(name, default)
        if value and not value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ImproperlyConfigured(
                f"{name} takes a URL that starts with {' or '.join(s + '://' for s in schemes)}."
            )
        return value

    def public_url(self, name: str, hosts: Sequence[str], production: bool) -> str:
        """Scheme and host under which people reach the console, no slash at the end. Not set: this machine's own port; in
        production the first of `hosts` that is a name, or empty."""
        named = next((host for host in hosts if "*" not in host and not host.startswith(".")), "")
        default = f"https://{named}" if named else ""
        if not production:
            default = f"http://127.0.0.1:{self.text('PORT', '8000')}"
        return self.url(name, default, ("https", "http")).rstrip("/")

    def mail(self, name: str) -> dict[str, str | int | bool]:
        """smtp://user:password@host:port, smtp+starttls:// or smtps:// → what Django's mail framework takes. Not set: no host."""
        text = self.text(name, "")
        try:
            url = urlsplit(text)
            port = url.port
        except ValueError:
            url, port = urlsplit("unreadable"), None
        if text and (
            url.scheme not in MAIL_PORTS or not url.hostname or url.path.strip("/") or url.query or url.fragment
        ):
            raise ImproperlyConfigured(
                f"{name} takes {' or '.join(f'{scheme}://' for scheme in MAIL_PORTS)} and user:password@host:port."
            )
        return {
            "host": url.hostname or "",
            "port": port or MAIL_PORTS.get(url.scheme, 25),
            "user": unquote(url.username or ""),
            "password": unquote(url.password or ""),
            "starttls": url.scheme == "smtp+starttls",
            "tls": url.scheme == "smtps",
        }

    def address(self, name: str, default: str) -> str:
        """One e-mail address, with or without a name: `Event Center <events@example.com>`."""
        value = self.text(name, default)
        if ADDRESS.fullmatch(value):
            return value
        raise ImproperlyConfigured(
            f"{name} is {value!r}; it takes an address such as Event Center <events@example.com>."
        )

    def clusters(self, name: str, known: Mapping[str, str]) -> dict[str, str]:
        """`name=host:port,host:port`, semicolons between; added to `known`, whose names are taken."""
        found = dict(known)
        for word in filter(None, (part.strip() for part in self.text(name, "").split(";"))):
            cluster, _, servers = word.partition("=")
            cluster, servers = cluster.strip(), servers.strip()
            if cluster in found or not CLUSTER.fullmatch(cluster) or not SERVERS.fullmatch(servers):
                raise ImproperlyConfigured(
                    f"{name} takes name=host:port,host:port with ; between; each name once, of a-z 0-9 -,"
                    f" and none of {', '.join(known)}."
                )
            found[cluster] = servers
        return found

    def complete(self, names: tuple[str, ...]) -> bool:
        """Whether all of them are set; some without the others stop the start."""
        missing = [name for name in names if not self.text(name, "")]
        if missing and len(missing) < len(names):
            together = ", ".join(names)
            raise ImproperlyConfigured(
                f"{missing[0]} is not set, but others of {together} are; set all of them or none."
            )
        return not missing

    def role_map(self, name: str, roles: tuple[str, ...]) -> tuple[tuple[str, str, str], ...]:
        """`group=tenant:role` or `group=platform:role`, semicolons between → (group, tenant or platform, role) each.

        A group may hold = and commas, as a directory's distinguished names do; the last = ends it.
        """
        found = []
        for word in filter(None, (part.strip() for part in self.text(name, "").split(";"))):
            group, _, grant = word.rpartition("=")
            place, _, role = (part.strip() for part in grant.partition(":"))
            if not group.strip() or not PLACE.fullmatch(place) or role not in roles:
                raise ImproperlyConfigured(
                    f"{name}: {word!r} is no grant; it takes group=tenant:role or group=platform:role with ; between,"
                    f" and as role {', '.join(roles)}."
                )
            found.append((group.strip(), place, role))
        return tuple(found)

    def encryption_keys(self, name: str, default: str | None) -> tuple[tuple[str, bytes], ...]:
        """`kid:base64` pairs, comma separated; 32 bytes each (AES-256); the first one encrypts, all decrypt by their kid."""
        pairs = [word.partition(":") for word in self.text(name, default).split(",")]
        try:
            keys = tuple((kid.strip(), base64.b64decode(key, validate=True)) for kid, _, key in pairs)
        except ValueError:
            keys = ()
        if keys and all(kid and len(key) == 32 for kid, key in keys) and len(dict(keys)) == len(keys):
            return keys
        raise ImproperlyConfigured(
            f"{name} takes kid:base64 pairs, comma separated; each kid once, each key is 32 bytes."
        )
