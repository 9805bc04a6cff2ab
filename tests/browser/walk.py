"""A walk through the console along its own links, to one page of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.urls import Resolver404, URLPattern, resolve
from playwright.sync_api import Page

from delivery.console import urls

# What answers with a file, which is no page.
# Or leads away at once: what a POST gives is no page of its own.
FILES = {
    "deliveries-export",
    "event-body",
    "rejected-value",
    "delivery-curl",
    "audit-export",
    "audit-verify",
    "favicon",
}


@dataclass
class Walk:
    """`found`: the first path to each kind of page, by its URL's name, in the order in which a reader would meet them.

    `but`: a selector of parts whose links are not followed.
    """

    page: Page
    but: str = "nothing"
    found: dict[str, str] = field(default_factory=dict)

    def __call__(self, *starts: str) -> Iterator[str]:
        """Opens one page after the other and gives its name while it is open. AssertionError where a link leads nowhere."""
        waiting = list(starts or ("/",))
        while waiting:
            path = waiting.pop(0)
            response = self.page.goto(path)
            assert response is not None
            assert response.ok, f"{path} answers {response.status}"
            name = name_of(urlsplit(self.page.url).path)
            if name is not None:
                self.found.setdefault(name, path)
                yield name
            waiting += [link for link in self._links() if link not in waiting]

    def _links(self) -> list[str]:
        """Those to kinds of pages that were not met yet."""
        followed = f"a[href^='/']:not({self.but} a)"
        hrefs = self.page.eval_on_selector_all(followed, "links => links.map(link => link.getAttribute('href'))")
        fresh = {}
        for href in hrefs:
            name = name_of(urlsplit(href).path)
            if name is not None and name not in self.found and name not in FILES:
                self.found[name] = href
                fresh[name] = href
        return list(fresh.values())


def name_of(path: str) -> str | None:
    """The name of the console's page at this path; None: it is not the console's."""
    try:
        name = resolve(path).url_name
    except Resolver404:
        return None
    return name if name in NAMES and name != "home" else None


def _pages() -> dict[str, URLPattern]:
    patterns = [each for each in urls.urlpatterns if isinstance(each, URLPattern)]
    return {str(each.name): each for each in patterns if each.name}


NAMES = _pages()


def is_page(name: str) -> bool:
    """Whether something is to be seen there: views that only take a POST have no page."""
    return name != "home" and name not in FILES and hasattr(getattr(NAMES[name].callback, "view_class", None), "get")
