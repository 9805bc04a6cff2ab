"""One tenant's people and keys against another's objects, at every URL that there is.

New URLs are found by themselves; a new table of tenants' rows must be given a row in `world`, or a test here fails.
"""

from __future__ import annotations

import difflib
import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.http import HttpResponseBase
from django.test import Client

from audit.trail import PLATFORM_CHAIN
from eventcenter.access.models import ApiKey
from eventcenter.access.roles import Role
from eventcenter.standardwebhooks import decode_secret, generate_secret, sign
from subscriptions.models import Tenant
from tests.factories import ApiKeyFactory, DeliveryFactory, PublishKeyFactory, TenantFactory, UserFactory, text_of
from tests.isolation.urls import Url, all_urls
from tests.isolation.world import Rows, build, number_apart, snapshot, tenant_models, tokens

pytestmark = pytest.mark.django_db

API = "internal/"
# Words that parameters by name may take; the paths they make must not work either.
CONSOLE = "console/"
VERBS = ("start", "pause", "resume", "cancel", "approve", "reject", "close")
METHODS = ("get", "post", "put", "patch", "delete")
ROWS_A_MODEL = 2
# To a person with every role of a tenant: it is not there, or it is not asked for by GET.
NOT_THERE = {404, 405}
GONE = {400, 401, 403, 404, 405, 406, 409, 411, 412, 415, 422, 428}


@pytest.fixture
def theirs() -> Rows:
    number_apart()
    return build()


@pytest.fixture
def ours() -> Tenant:
    """The asker's own tenant, which has something of its own to show."""
    tenant: Tenant = TenantFactory(slug="ours")
    DeliveryFactory(dead=True, subscription__endpoint__tenant=tenant)
    return tenant


@pytest.fixture
def person(ours: Tenant) -> User:
    """With every role that a tenant can give."""
    made: User = UserFactory(username="bob", is_staff=False, roles=tuple((ours, role) for role in Role))
    return made


@pytest.fixture
def api_key(ours: Tenant) -> ApiKey:
    made: ApiKey = ApiKeyFactory(tenant=ours)
    return made


def test_every_table_of_tenants_rows_is_in_the_world(theirs: Rows) -> None:
    assert {model._meta.label for model in tenant_models()} == {model._meta.label for model in theirs}


def test_a_persons_pages_hold_nothing_of_another_tenant(
    theirs: Rows, person: User, caplog: pytest.LogCaptureFixture
) -> None:
    walk = Walk(theirs, caplog, is_person=True)
    client = Client(raise_request_exception=False)
    for url in all_urls():
        for path in url.paths(walk.values):
            for method in METHODS if path.startswith(f"/{API}") else ("get", "post"):
                if "sessionid" not in client.cookies or not client.cookies["sessionid"].value:
                    client.force_login(person)
                client.cookies.pop("messages", None)  # the admin says there which id it did not find before
                walk.check(url, path, method, lambda ask, path=path: ask(client, path))
    walk.finish()


def test_an_api_keys_answers_hold_nothing_of_another_tenant(
    theirs: Rows, api_key: ApiKey, caplog: pytest.LogCaptureFixture
) -> None:
    walk = Walk(theirs, caplog)
    client = Client(raise_request_exception=False, headers={"authorization": f"Bearer {text_of(api_key)}"})
    for url in all_urls():
        if url.route.startswith(API):
            for path in url.paths(walk.values):
                for method in METHODS:
                    walk.check(url, path, method, lambda ask, path=path: ask(client, path))
    walk.finish()


def test_a_publish_keys_answers_hold_nothing_of_another_tenant(
    theirs: Rows, ours: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    secret = generate_secret()
    PublishKeyFactory(tenant=ours, key_id="pk_ours", secret=secret)
    walk = Walk(theirs, caplog)
    client = Client(raise_request_exception=False)
    for url in all_urls():
        if url.route.startswith(API):
            for path in url.paths(walk.values):
                for method in METHODS:
                    walk.check(
                        url, path, method, lambda ask, path=path: ask(client, path, _signature(secret, ask.content))
                    )
    walk.finish()


def test_lists_and_counts_are_the_same_with_and_without_another_tenant(person: User) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(person)
    lists = [f"/{url.route}" for url in all_urls() if not url.parameters and _is_list(url)]
    before = {path: _plain(client.get(path)) for path in lists}
    build()
    after = {path: _plain(client.get(path)) for path in lists}
    assert len([text for text in before.values() if text]) > 15
    differing = {path: _difference(before[path], after[path]) for path in lists if before[path] != after[path]}
    assert differing == {}


def test_filters_by_another_tenants_names_find_nothing(
    theirs: Rows, person: User, caplog: pytest.LogCaptureFixture
) -> None:
    walk = Walk(theirs, caplog)
    client = Client(raise_request_exception=False)
    client.force_login(person)
    for url in all_urls():
        for query in () if url.parameters or not _is_list(url) else walk.queries(url):
            path = f"/{url.route}?{query}"
            walk.check(url, path, "get", lambda ask, path=path: ask(client, path))
    walk.finish()


class Ask:
    """One call; what it says of the other tenant itself may come back."""

    def __init__(self, method: str, content: dict[str, Any] | None) -> None:
        self.method = method
        self.body = json.dumps(content, default=str).encode() if content is not None else b""
        self.sent = ""

    @property
    def content(self) -> bytes:
        return b"" if self.method == "get" else self.body

    def __call__(self, client: Client, path: str, headers: dict[str, str] | None = None) -> HttpResponseBase:
        self.sent = path + self.body.decode()
        call: Callable[..., HttpResponseBase] = getattr(client, self.method)
        if self.method == "get":
            return call(path, headers=headers)
        return call(path, self.body, content_type="application/json", headers=headers)


class Walk:
    def __init__(self, rows: Rows, caplog: pytest.LogCaptureFixture, *, is_person: bool = False) -> None:
        self.is_person = is_person
        caplog.set_level(logging.DEBUG)
        self.rows, self.caplog = rows, caplog
        self.forbidden = tokens(rows)
        assert len(self.forbidden) > 20
        self.before = snapshot(rows)
        self.faults: list[str] = []
        self.checked = 0

    def values(self, url: Url, name: str, converter: str) -> Sequence[str]:
        """What the other tenant's objects are called, as far as it fits the parameter."""
        own = self._of_room(url, name)
        if own and converter == "slug":
            return [str(getattr(row, "key_id", None) or getattr(row, "slug", row.pk)) for row in own]
        keys = [row.pk for row in own or self._candidates(url)]
        if converter == "uuid":
            return [str(key) for key in keys if isinstance(key, UUID)]
        if converter == "int":
            return sorted({str(key) for key in keys if isinstance(key, int)})
        if url.route.startswith("admin/"):
            return [str(key) for key in keys] or ["1"]
        return list(VERBS) if name == "action" else [*VERBS, *self._names()]

    def _of_room(self, url: Url, name: str) -> list[Any]:
        """The rows that the path names before the parameter (endpoints/<int:pk>): all kinds of rows in all places would
        be some thousand calls a room. None where no model is called so."""
        before = re.search(rf"([\w-]+)/<(?:\w+:)?{name}>", url.route) if url.route.startswith((API, CONSOLE)) else None
        room = before[1].replace("-", "") if before else "-"
        return [
            row
            for model, rows in self.rows.items()
            if str(model._meta.verbose_name_plural).replace(" ", "").endswith(room)
            for row in rows[:ROWS_A_MODEL]
        ]

    def _names(self) -> list[str]:
        """What is called by name: tenants, endpoints, subscriptions, keys."""
        rows = (row for group in self.rows.values() for row in group)
        found = (getattr(row, field, None) for row in rows for field in ("slug", "key_id", "public_id"))
        return [name for name in found if name]

    def _candidates(self, url: Url) -> Iterator[Any]:
        """In the admin the rows of the page's own model."""
        page = re.match(r"admin/(\w+)/(\w+)/", url.route)
        for model, rows in self.rows.items():
            if page is None or model._meta.label_lower == f"{page[1]}.{page[2]}":
                yield from rows[:ROWS_A_MODEL]

    def queries(self, url: Url) -> Iterator[str]:
        """Each filter that some list has, with another tenant's value."""
        for model, rows in self.rows.items():
            name, row = model._meta.model_name, rows[0]
            slug = getattr(row, "slug", None)
            if url.route.startswith("admin/"):
                if slug:
                    yield f"q={slug}"
                    yield f"{name}__id__exact={row.pk}"
                continue
            yield f"{name}={slug or row.pk}"
            yield f"from={row.pk}&before={row.pk}&subscriber={name}-{row.pk}"

    def check(self, url: Url, path: str, method: str, call: Callable[[Ask], HttpResponseBase]) -> None:
        """Calls with and without a body that names the other tenant, and looks at all that comes of it."""
        contents: list[dict[str, Any] | None] = [None]
        if method in ("post", "put", "patch"):
            contents.append(self._body())
        for content in contents:
            self.caplog.clear()
            ask = Ask(method, content)
            answer = call(ask)
            self.checked += 1
            self._judge(url, path, ask, answer)

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "name": "taken",
            "slug": "taken",
            "types": ["plugin.release.published"],
            "status": ["dead"],
        }
        for model, rows in self.rows.items():
            body[str(model._meta.model_name)] = str(rows[0].pk) if isinstance(rows[0].pk, UUID) else rows[0].pk
            if slug := getattr(rows[0], "slug", None):
                body[str(model._meta.model_name)] = slug
        return body

    def _judge(self, url: Url, path: str, ask: Ask, answer: HttpResponseBase) -> None:
        what = f"{ask.method.upper()} {path}"
        # The admin refuses what nobody of the role may do (delete, users) before it looks whose it would be.
        by_address = ask.method == "get" and self.is_person and not url.route.startswith("admin/")
        refused = NOT_THERE if by_address else GONE
        if url.parameters and answer.status_code not in refused and not _to_elsewhere(url, answer):
            self.faults.append(f"{what}: {answer.status_code}")
        if answer.status_code >= 500 and url.name != "readyz":  # no process of ours runs here
            self.faults.append(f"{what}: {answer.status_code}")
        said = _text(answer)
        logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in self.caplog.records)
        for word in self.forbidden:
            if word in ask.sent:
                continue
            if word in said:
                self.faults.append(f"{what}: the answer has {word}")
            if word in logged:
                self.faults.append(f"{what}: the log has {word}")

    def finish(self) -> None:
        assert not self.faults, "\n".join(self.faults)
        assert snapshot(self.rows) == self.before
        assert self.checked > 50
        print(f"{self.checked} calls")


def _signature(secret: str, body: bytes) -> dict[str, str]:
    """Headers that are right for one call with this body."""
    message_id, now = f"msg_{time.monotonic_ns()}", int(time.time())
    return {
        "x-publish-key": "pk_ours",
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": sign([decode_secret(secret)], message_id, now, body),
    }


def _is_list(url: Url) -> bool:
    """Not those that end a session, and not those whose answer is of the process or the clock."""
    return not url.route.endswith(("metrics", "readyz", "healthz", "sign-out", "logout/", "jsi18n/"))


def _to_elsewhere(url: Url, answer: HttpResponseBase) -> bool:
    """The admin sends whoever asks for an unknown object to its first page, and a viewer to the sign-in."""
    return url.route.startswith(("admin/", "sign")) and answer.status_code == 302


def _text(answer: HttpResponseBase) -> str:
    headers = "\n".join(f"{name}: {value}" for name, value in answer.items())
    return headers + _body(answer)


def _body(answer: HttpResponseBase) -> str:
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]
    return str(body.decode("utf-8", "replace"))


_VARIES = re.compile(
    r'(csrfmiddlewaretoken" value="|csrfToken": ?"|nonce-|data-csrf=")[^"\']+|<time[^>]*>[^<]*</time>|(?<="seen": ")\d+'
)


def _plain(answer: HttpResponseBase) -> str:
    """The answer without what is another at each call."""
    return "" if answer.status_code >= 300 else _VARIES.sub("", _body(answer))


def _difference(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line.strip()[:300] for line in lines][2:8]


def test_no_tenant_can_take_the_name_under_which_the_platforms_trail_stands() -> None:
    with pytest.raises(IntegrityError, match="tenant_slug_not_the_platforms"):
        TenantFactory(slug=PLATFORM_CHAIN)
