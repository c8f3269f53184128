"""Fixtures for tests of the website: Django set up for it, a site over an empty store, and people to visit it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from talkalike.store.store import Store, open_store
from talkalike.website.configure import configure_site
from talkalike.website.services import SiteServices, SiteSettings, provide

# When this file is imported: Django's settings are the process's, and the tests of the store open databases, too.
configure_site("sqlite:///unused.sqlite3", secret="a key for tests only, " * 3, settings=SiteSettings(name="Anna"))


@pytest.fixture(scope="session")
def site_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the site's tables and nothing else, to be copied."""
    file = tmp_path_factory.mktemp("site") / "template.sqlite3"
    with open_store(f"sqlite:///{file}") as store:
        from talkalike.website.accounts import make_groups

        store.call(make_groups)
    return file


@pytest.fixture
def site_store(tmp_path: Path, site_template: Path) -> Iterator[Store]:
    """An open store of the site; this thread's connection leads to it as well."""
    from django.db import connections

    file = shutil.copy(site_template, tmp_path / "site.sqlite3")
    _forget_connection()
    with open_store(f"sqlite:///{file}") as store:
        yield store
        connections.close_all()
    _forget_connection()


@pytest.fixture
def services(site_store: Store, tmp_path: Path) -> Iterator[SiteServices]:
    """What the views are given; a test may set `engines`."""
    given = SiteServices(store=site_store, root=tmp_path, settings=SiteSettings(name="Anna"))
    provide(given)
    yield given
    given.close()
    provide(None)


@pytest.fixture
def person(services: SiteServices) -> Callable[..., Any]:
    """Makes a Django test client: `person("judge")`, `person("judge", "viewer", name="Bo")`, `person()` for a stranger.

    It checks CSRF tokens where it was made with csrf=True.
    """
    from django.contrib.auth.models import Group, User
    from django.test import Client

    def make(*groups: str, name: str = "", csrf: bool = False) -> Client:
        client = Client(enforce_csrf_checks=csrf, SERVER_NAME="localhost")
        if groups:
            user = User(username=name or "-".join(groups), is_staff="owner" in groups)
            user.set_unusable_password()
            user.save()
            user.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
            client.force_login(user)
        return client

    return make


@pytest.fixture
def guest(services: SiteServices) -> Callable[[str], Any]:
    """Makes a test client that came with an invitation for a role: `guest("judge")`."""
    from django.test import Client

    from talkalike.store.judging import judges

    def make(role: str) -> Client:
        token, _ = services.store.call(judges.invite, judges.Group(role), by=None)
        client = Client(SERVER_NAME="localhost")
        assert client.post(f"/invite/{token}/").status_code == 303
        return client

    return make


def _forget_connection() -> None:
    """A thread keeps its connection and where it leads: the next one is made anew."""
    from django.db import connections

    connections.close_all()
    for alias in list(connections):
        if hasattr(connections._connections, alias):
            delattr(connections._connections, alias)
