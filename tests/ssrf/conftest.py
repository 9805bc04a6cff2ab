from __future__ import annotations

from collections.abc import Iterator

import pytest

from delivery.transports.webhook import CurlOptions, WebhookTransport
from tests.ssrf.stage import Decoy, Fence


@pytest.fixture
def decoy() -> Iterator[Decoy]:
    with Decoy() as listening:
        yield listening


@pytest.fixture(scope="module")
def fence() -> Fence:
    """As in production: WEBHOOK_ALLOWED_CIDRS is empty."""
    return Fence()


@pytest.fixture(scope="module")
def transport(fence: Fence) -> Iterator[WebhookTransport]:
    opened = WebhookTransport(CurlOptions(fence))
    yield opened
    opened.close(0.1)
