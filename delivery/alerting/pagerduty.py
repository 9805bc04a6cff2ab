"""Pages to PagerDuty by its own client, the package `pagerduty`: Events API v2.

Fields and limits: PagerDuty developer docs, "Send an Alert Event" (payload.summary at most 1024 characters, severity one of
critical, error, warning, info; dedup_key at most 255). Answers: "Events API v2 Overview", "Response Codes & Retry Logic": 202
accepted; 400 the event is invalid, do not retry; 429 and 5xx retry later.

No check of addresses is made, unlike for a tenant's webhook: the host is not anybody's choice but that of who runs the system
(PAGERDUTY_EVENTS_URL), a contact brings a key and no URL. Redirects are not followed, and no proxy is taken from the environment.
"""

from __future__ import annotations

import json
import ssl
import time
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import certifi
import httpx2
from django.conf import settings
from pagerduty import Error, EventsApiV2Client, HttpError, ServerHttpError

from delivery.alerting.calling import Answer, Call, Result
from delivery.models import PageAction
from delivery.outcome import parse_retry_after

EVENTS_URL: Final = "https://events.pagerduty.com"
CLIENT: Final = "Event Center"
CONNECT_S, READ_S = 3.0, 5.0  # PagerDuty answers in well below a second
BAD_REQUEST, TOO_LARGE = 400, 413
RETRIED: Final = (429, 500, 502, 503, 504)


class EventsClient(EventsApiV2Client):
    """One call is one request: when it is sent again is decided by the rows. The package itself would wait and try again, on
    429 without an end; with its limits below nought it hands every answer out."""

    max_http_attempts = -1
    max_network_attempts = 0
    timeout = httpx2.Timeout(READ_S, connect=CONNECT_S)  # type: ignore[assignment]  # httpx2 takes both

    def __init__(self, routing_key: str, base_url: str) -> None:
        super().__init__(routing_key, base_url=base_url, verify=_trusted(settings.WEBHOOK_CA_BUNDLE), trust_env=False)
        self.retry = dict.fromkeys(RETRIED, 1)

    @property
    def url(self) -> str:
        return str(self._url)

    @url.setter
    def url(self, new_base_url: str) -> None:
        """The package takes https only; PAGERDUTY_EVENTS_URL may also name a relay nearby."""
        self._url = new_base_url


def send(call: Call) -> Answer:
    """Raises nothing that is to be expected."""
    try:
        with EventsClient(call.routing_key, base_url()) as client:
            client.send_event(call.action.value, call.dedup_key, **properties(call))
    except ServerHttpError as error:
        return Answer.later(f"PagerDuty answered {_response(error).status_code}.", _retry_after(error))
    except HttpError as error:
        return _refusal(error)
    except Error as error:
        cause = error.__cause__
        return Answer.later(f"PagerDuty is not reached: {type(cause or error).__name__}.")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return Answer.later(f"PagerDuty's answer cannot be read: {type(error).__name__}.")
    return Answer(Result.SENT, "PagerDuty took it.")


def base_url() -> str:
    """Of PAGERDUTY_EVENTS_URL, which names the whole URL, what stands before the path: the client has the path."""
    if not settings.PAGERDUTY_EVENTS_URL:
        return EVENTS_URL
    parts = urlsplit(settings.PAGERDUTY_EVENTS_URL)
    return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('/v2/enqueue').rstrip('/')}"


def properties(call: Call) -> dict[str, Any]:
    """What is sent beside routing_key, event_action and dedup_key. Only a trigger has a payload."""
    if call.action is not PageAction.TRIGGER:
        return {}
    payload = {
        name: call.text(name) for name in ("summary", "source", "severity", "timestamp", "component", "group", "class")
    }
    links = call.links
    return {
        "payload": {**{name: text for name, text in payload.items() if text}, "custom_details": call.details},
        "client": CLIENT,
        **({"client_url": links[0]["href"], "links": links} if links else {}),
    }


def _refusal(error: HttpError) -> Answer:
    """401, 403, 404, 408 and their kin speak of a proxy or a setting, not of the page: those may pass."""
    status = _response(error).status_code
    if status in (BAD_REQUEST, TOO_LARGE):
        return Answer.refused(f"PagerDuty refused the page ({status}){_complaints(_response(error).content)}")
    return Answer.later(f"PagerDuty answered {status}.", _retry_after(error))


def _response(error: HttpError) -> httpx2.Response:
    response = error.response
    assert isinstance(response, httpx2.Response), "errors of this kind have one"
    return response


def _retry_after(error: HttpError) -> float | None:
    wanted = _response(error).headers.get("retry-after")
    return None if wanted is None else parse_retry_after(wanted, time.time())


def _complaints(body: bytes) -> str:
    """ ": …" from the answer's `errors`, which name fields and rules, not values; "" when there are none."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    errors = said.get("errors") if isinstance(said, dict) else None
    return ": " + "; ".join(map(str, errors)) if isinstance(errors, list) and errors else ""


@cache
def _trusted(bundle: str) -> ssl.SSLContext:
    """Reading the authorities takes longer than the request."""
    return ssl.create_default_context(cafile=bundle or certifi.where())
