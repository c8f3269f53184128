from __future__ import annotations
from collections.abc import Callable
from typing import Any
pytest_plugins = ("website_site",)


def test_smoke(person: Callable[..., Any]) -> None:
    for who in (person(), person("owner"), person("judge", "viewer")):
        for url in ("/", "/health", "/login/", "/invitations/", "/admin/", "/nothing/"):
            response = who.get(url)
            print(url, response.status_code, response.headers.get("Location"), len(response.content))
        for link in [part.split('"')[0] for part in who.get("/").content.decode().split('"/static/')[1:]]:
            r = who.get("/static/" + link)
            print(link, r.status_code, r.headers["Content-Type"], len(r.content))
    assert 0
