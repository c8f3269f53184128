"""Talking on the website as a browser without JavaScript does, and reading what the pages show."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Talking = Callable[..., Any]


def begin(client: Any, text: str = "hello", **fields: Any) -> str:
    """Begins a conversation as a browser without JavaScript does; returns its address."""
    answer = client.post("/chat/new/", {"text": text, **fields})
    assert answer.status_code == 303, answer.content.decode()
    return str(answer["Location"]).partition("#")[0]


def say(client: Any, address: str, text: str, **fields: Any) -> str:
    """Says something at the end of the branch that is shown; returns the page."""
    answer = client.post(f"{address}say/", {"text": text, **fields})
    assert answer.status_code == 303, answer.content.decode()
    return page(client, address)


def page(client: Any, address: str) -> str:
    """The page as it is now."""
    answer = client.get(address)
    assert answer.status_code == 200
    return str(answer.content.decode())


def bubbles(html: str) -> list[str]:
    """What is said on a page, in order; the visitor's own words begin with "> "."""
    found = re.findall(r'<p class="bubble( own)?">(.*?)</p>', html, re.DOTALL)
    return [f"> {text}" if own else text for own, text in found]


def numbers(html: str, kind: str) -> list[int]:
    """The numbers of the messages of a kind ("theirs", "mine", "reset") that a page shows."""
    return [int(found) for found in re.findall(rf'<li id="m(\d+)" class="message {kind}', html)]
