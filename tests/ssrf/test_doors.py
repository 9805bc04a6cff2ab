"""Where tenants write URLs: admin, REST, file, each template. What can be seen from the text alone is refused there."""

from __future__ import annotations

from typing import Any

import pytest

from audit.models import AuditEntry
from subscriptions.channels.registry import SPECS
from subscriptions.forms import endpoint_form
from subscriptions.models import Channel, Endpoint
from subscriptions.templating import TEMPLATES, check_url
from subscriptions.yaml_sync import SpecError, read
from tests.api_caller import with_key
from tests.factories import EndpointFactory, TenantFactory
from tests.ssrf.corpus import BROKER_HOSTS, URLS, Case
from tests.ssrf.stage import Decoy

UNSAVED = [case for case in URLS if case.unsaved]
PORT = 8080
GOOD = "https://hooks.example.com/"


def ids(case: Case) -> str:
    return case.name


@pytest.mark.django_db
def test_admins_form_refuses_at_its_field_what_no_url_may_be() -> None:
    tenant = TenantFactory()
    form = endpoint_form(SPECS[Channel.WEBHOOK])
    for case in UNSAVED:
        given = {"tenant": tenant.pk, "slug": "sink", "timeout_s": "5", "lane": "fast", "content_mode": "structured"}
        assert list(form(given | {"url": case.at(PORT)}).errors) == ["url"], case.name
        assert not form(given | {"url": GOOD}).errors


@pytest.mark.django_db
def test_rest_refuses_what_no_url_may_be_and_names_the_field(decoy: Decoy) -> None:
    kept = EndpointFactory(url=GOOD)
    caller = with_key(kept.tenant)
    for case in UNSAVED:
        url = case.at(decoy.port)
        made = caller.post("endpoints", {"slug": "sink", "url": url})
        changed = caller.patch(f"endpoints/{kept.pk}", {"url": url}, if_match="*")
        for answer in (made, changed):
            assert answer.status_code == 400, (case.name, answer.content)
            assert [error["field"] for error in answer.json()["errors"]] == ["url"], case.name
    assert list(Endpoint.objects.values_list("pk", "url")) == [(kept.pk, GOOD)]
    assert not AuditEntry.objects.filter(action__in=("endpoint.created", "endpoint.changed")).exists()
    assert decoy.connections == 0
    assert caller.post("endpoints", {"slug": "sink", "url": GOOD}).status_code == 201
    assert caller.patch(f"endpoints/{kept.pk}", {"url": GOOD + "2"}, if_match="*").status_code == 200


@pytest.mark.parametrize("case", UNSAVED, ids=ids)
def test_file_refuses_what_no_url_may_be_and_names_the_field(case: Case) -> None:
    assert any(".url" in problem for problem in _problems(url=case.at(PORT)))
    assert any(".url" in problem for problem in _problems(url="${EVIL}", EVIL=case.at(PORT)))


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=lambda template: template.name)
def test_template_refuses_what_no_url_may_be(template: Any) -> None:
    assert [case.name for case in UNSAVED if check_url(template, case.at(PORT)) is None] == []


def test_file_refuses_a_broker_that_is_not_amqp() -> None:
    for host in BROKER_HOSTS[:3]:
        settings = {"url": f"http://{host}/", "exchange": "x"}
        assert any("url" in problem for problem in _problems(channel="amqp", settings=settings))


def _problems(EVIL: str = "", **endpoint: Any) -> list[str]:
    data = {"slug": "sink", "subscriptions": [{"slug": "all", "types": ["plugin.*"]}], **endpoint}
    file = {"version": 1, "tenants": [{"slug": "acme", "name": "Acme", "endpoints": [data]}]}
    with pytest.raises(SpecError) as caught:
        read(file, {"EVIL": EVIL})
    return [str(problem) for problem in caught.value.problems]
