"""The ways that people go through the console, from the first page to what comes of it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.house import APPROVAL_REPLAY_COUNT, House
from tests.browser.person import Person
from tests.fakes.receiver import Answer, Receiver

pytestmark = pytest.mark.timeout(240)


def test_dead_delivery_is_filtered_opened_replayed_and_seen_delivered(
    visit: Visit, stack: House, receiver: Receiver
) -> None:
    sink = stack.subscriber(receiver.url("/hook"))
    receiver.script("/hook", Answer(503), Answer(204))
    sink.release("way-of-a-replay")
    [dead] = sink.deliveries("dead")
    ops = visit()
    ops.opens("/console/deliveries")
    ops.page.get_by_text("Dead", exact=True).first.click()
    expect(ops.page).to_have_url(re.compile("status=dead"))
    ops.page.get_by_role("link", name="way-of-a-replay").first.click()
    expect(ops.page).to_have_url(re.compile(dead["id"]))
    ops.presses("Replay…")
    ops.presses("Replay")
    ops.reads("Replay queued")
    ops.reads("Attempt 2: delivered")
    assert sent_to(receiver, dead["id"]) == 2
    assert ops.complaints == []


def test_new_delivery_appears_in_an_open_list_without_a_reload(visit: Visit, stack: House) -> None:
    ops = visit()
    ops.opens("/console/deliveries")
    ops.page.evaluate("window.notReloaded = true")
    stack.publish("appears-by-itself")
    expect(ops.page.get_by_role("link", name="appears-by-itself").first).to_be_visible()
    assert ops.page.evaluate("window.notReloaded") is True
    assert ops.complaints == []


def test_many_are_replayed_by_their_filter_and_the_progress_ends_at_all_of_them(
    visit: Visit, stack: House, receiver: Receiver
) -> None:
    sink = stack.subscriber(receiver.url("/hook"))
    receiver.script("/hook", *[Answer(503)] * 4, Answer(204))
    sink.release("bulk", count=4)
    sink.deliveries("dead", least=4)
    ops = visit()
    ops.opens(f"/console/deliveries?subscriber=endpoint-{sink.id}&status=dead")
    start_replay_of_list(ops)
    ops.reads(re.compile(r"4 replayed.*of 4"))
    sink.deliveries("delivered", least=4)
    assert ops.complaints == []


def test_a_second_person_approves_what_the_first_may_not_start_alone(
    visit: Visit, stack: House, receiver: Receiver
) -> None:
    count = APPROVAL_REPLAY_COUNT + 1
    sink = stack.subscriber(receiver.url("/hook"))
    receiver.script("/hook", *[Answer(503)] * count, Answer(204))
    sink.release("needs-two", count=count)
    sink.deliveries("dead", least=count)
    ops, approver = visit(), visit("approver")
    ops.opens(f"/console/deliveries?subscriber=endpoint-{sink.id}&status=dead")
    preview_replay_of_list(ops)
    ops.presses("Ask for approval…")
    ops.page.get_by_label("Reason").fill("They fixed their ingress.")
    ops.presses("Ask for approval")
    asked = urlsplit(ops.page.url).path
    approver.opens("/console/approvals")
    approver.page.locator(f'main a[href="{asked}"]').first.click()
    approver.page.get_by_label("Reason").fill("Seen with them.")
    approver.presses("Approve and do it")
    approver.reads("Approved")
    ops.opens(asked)
    ops.reads("approver")
    sink.deliveries("delivered", least=count)
    assert ops.complaints + approver.complaints == []


def test_paused_endpoint_holds_its_deliveries_until_it_is_resumed(
    visit: Visit, stack: House, receiver: Receiver
) -> None:
    sink = stack.subscriber(receiver.url("/hook"))
    ops = visit()
    ops.opens(f"/console/subscribers/{sink.id}")
    ops.presses("Pause…")
    ops.page.get_by_label("Reason").fill("Their database moves.")
    ops.presses("Pause")
    ops.reads("Their database moves.")
    sink.release("held-by-a-pause")
    ops.opens(f"/console/deliveries?subscriber=endpoint-{sink.id}")
    ops.reads("endpoint paused")
    before = len(receiver.requests)
    ops.opens(f"/console/subscribers/{sink.id}")
    ops.presses("Resume…")
    ops.presses("Resume")
    receiver.wait_for(before + 1)
    assert ops.complaints == []


def test_wrong_password_is_refused_and_the_right_one_leads_to_the_page_that_was_asked_for(
    stranger: Page, stack: House
) -> None:
    stranger.goto("/console/replays")
    expect(stranger).to_have_url(re.compile("/sign-in"))
    sign_in(stranger, "not it")
    expect(stranger.get_by_role("alert").first).to_be_visible()
    sign_in(stranger, stack.password)
    expect(stranger).to_have_url(re.compile("/console/replays"))


def test_a_delivery_is_found_opened_and_replayed_by_keyboard_alone(
    visit: Visit, stack: House, receiver: Receiver
) -> None:
    sink = stack.subscriber(receiver.url("/hook"))
    receiver.script("/hook", Answer(503), Answer(204))
    sink.release("by-keyboard")
    [dead] = sink.deliveries("dead")
    ops = visit()
    ops.opens(f"/console/deliveries?subscriber=endpoint-{sink.id}&status=dead")
    tab_to(ops.page, "by-keyboard")
    ops.page.keyboard.press("Enter")
    expect(ops.page).to_have_url(re.compile(dead["id"]))
    tab_to(ops.page, "Replay…")
    ops.page.keyboard.press("Enter")
    expect(ops.page).to_have_url(re.compile("/replay$"))
    tab_to(ops.page, "Replay")
    ops.page.keyboard.press("Enter")
    ops.reads("Attempt 2: delivered")


def test_filter_open_and_replay_work_without_script(visit: Visit, stack: House, receiver: Receiver) -> None:
    sink = stack.subscriber(receiver.url("/hook"))
    receiver.script("/hook", Answer(503), Answer(204))
    sink.release("without-script")
    [dead] = sink.deliveries("dead")
    ops = visit(script=False)
    ops.opens("/console/deliveries")
    ops.page.get_by_label("Dead").check()
    ops.presses("Apply")
    expect(ops.page).to_have_url(re.compile("status=dead"))
    ops.page.get_by_role("link", name="without-script").first.click()
    ops.presses("Replay…")
    ops.presses("Replay")
    ops.reads("Replay queued")
    sink.deliveries("delivered", least=2)
    assert sent_to(receiver, dead["id"]) == 2


def sent_to(receiver: Receiver, delivery_id: str) -> int:
    return sum(each.header("webhook-id") == delivery_id for each in receiver.requests)


def preview_replay_of_list(person: Person) -> None:
    person.presses("Replay these…")
    person.presses("Count them")
    expect(person.page).to_have_url(re.compile("/console/replays/[0-9a-f-]{36}"))


def start_replay_of_list(person: Person) -> None:
    preview_replay_of_list(person)
    person.presses("Replay them")


def sign_in(page: Page, password: str) -> None:
    page.locator("input[name=username]").fill("ops")
    page.locator("input[name=password]").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def tab_to(page: Page, name: str, most: int = 150) -> None:
    """Presses Tab until that link or button has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        text = page.evaluate("document.activeElement.innerText || ''")
        if text.strip().splitlines()[:1] == [name]:
            return
    raise AssertionError(f"{name} is not reached by {most} presses of Tab")
