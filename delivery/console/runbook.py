"""The runbook as a page: docs/operations/runbook.md, read once a process."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from delivery.console.access import ConsoleView

RUNBOOK: Final = Path(settings.BASE_DIR) / "docs" / "operations" / "runbook.md"
PAGE = re.compile(r"/[a-z0-9/_-]*(?:\?[a-z0-9=&_-]*)?")


class RunbookPage(ConsoleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        return render(request, "console/runbook.html", {"text": runbook_html()})


@cache
def runbook_html() -> SafeString:
    return to_html(RUNBOOK.read_text())


def to_html(text: str) -> SafeString:
    """CommonMark and tables. What is HTML in the text is shown as text, and a URL that runs code is no link (the library's
    rules). Headings have GitHub's anchors; a page of this site that is named as code is a link to it."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("code_inline", _code)
    tokens = markdown.parse(text)
    for heading, words in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", anchor(words.content))
    shown: str = markdown.renderer.render(tokens, markdown.options, {})
    return mark_safe(shown)  # noqa: S308 - html is off


def anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _code(renderer: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    shown = renderer.code_inline(tokens, place, options, env)
    path = tokens[place].content
    return f'<a href="{path}">{shown}</a>' if PAGE.fullmatch(path) and _is_page(path) else shown


def _is_page(path: str) -> bool:
    try:
        resolve(path.partition("?")[0])
    except Resolver404:
        return False
    return True
