"""What the site says about who reads what, held against what the site does."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from talkalike.website.services import SiteServices
from website_chat import Talking, begin, page, say

pytest_plugins = ("website_site", "website_chat_site")

SECRET = "zanzibarquux"  # a word that stands on no page of ours


def conversations(guest: Any, talking: Talking) -> str:
    """A guest's conversation with the word in it wherever somebody can put it; its address."""
    talking((f"double says {SECRET}",), (f"again {SECRET}",))
    address = begin(guest, f"my {SECRET} question")
    say(guest, address, f"more {SECRET}")
    return address


def on_discord(services: SiteServices) -> None:
    """The same word in a stored reply on Discord, what it saw included."""
    from store_child import beginning
    from talkalike.store import replies
    from talkalike.store.replies import ReplyState

    told = beginning(1)
    reply_id = services.store.call(replies.begin, told)
    assert reply_id is not None
    services.store.call(replies.note_sent, reply_id, 5, f"sent {SECRET}", 0)
    services.store.call(replies.end, reply_id, ReplyState.DONE)


def fill_words() -> int:
    """Puts the word into every field that holds people's words, of every row; how many rows there are."""
    from django.apps import apps
    from django.db.models import JSONField

    from talkalike.website.admin import WORDS

    rows = 0
    for name, fields in WORDS.items():
        model = apps.get_model("store", name)
        values = {
            field: [SECRET] if isinstance(model._meta.get_field(field), JSONField) else SECRET for field in fields
        }
        rows += model.objects.update(**values)
    return rows


def test_the_administration_shows_nobodys_words(
    person: Callable[..., Any], guest: Callable[[str], Any], services: SiteServices, talking: Talking
) -> None:
    """Every list and every row, for the owner, in whatever order, also of what was said on Discord."""
    from django.apps import apps

    conversations(guest("judge"), talking)
    on_discord(services)
    services.store.call(fill_words)
    owner, looked = person("owner"), 0
    for table in apps.get_app_config("store").get_models():
        name = table._meta.model_name
        shown = page(owner, f"/admin/store/{name}/")
        assert SECRET not in shown, name
        for row in sorted(set(re.findall(rf'href="(/admin/store/{name}/[^"/]+/change/)[^"]*"', shown))):
            assert SECRET not in page(owner, row), row
            looked += 1
    assert looked > 6
    assert "What people and the double said to each other is not shown here." in page(
        owner, "/admin/store/webmessage/1/change/"
    )


@pytest.mark.parametrize(
    "asked",
    [
        f"webmessage/?text__contains={SECRET}",
        f"webmessage/?conversation__title__contains={SECRET}",
        f"webpicture/?message__text__startswith={SECRET[:3]}",
        "webmessage/?parts__icontains=double",
        f"sentmessage/?text={SECRET}",
        f"judgement/?item__messages__icontains={SECRET}",
    ],
)
def test_words_cannot_be_guessed_by_asking_for_them(
    person: Callable[..., Any], guest: Callable[[str], Any], talking: Talking, asked: str
) -> None:
    conversations(guest("judge"), talking)
    assert person("owner").get(f"/admin/store/{asked}").status_code in (302, 400)


def test_only_its_owner_opens_a_conversation(
    person: Callable[..., Any], guest: Callable[[str], Any], talking: Talking
) -> None:
    """What the list of conversations promises: nobody else, the owner of the site included."""
    mine = guest("judge")
    address = conversations(mine, talking)
    assert SECRET in page(mine, address)
    others = (person("owner"), person("judge", "viewer"), guest("judge"), guest("viewer"), person())
    for other in others:
        assert other.get(address).status_code in (302, 404)
        for near in ("/", "/chat/", "/judge/", "/insights/", "/runs/"):
            assert SECRET not in other.get(near, follow=True).content.decode()
    listed = page(mine, "/chat/")
    assert "On this site only you can open your conversations." in listed
    assert "Nobody else sees them" not in listed


PHRASES = {
    "/chat/": "talk to the double",
    "/judge/": "judge its replies",
    "/insights/": "see what people think of it",
    "/runs/": "look at its training runs",
    "/tasks/": "ask it about pictures",
    "/guess/": "guess which reply is the real one",
}


@pytest.mark.parametrize("role", ["guesser", "judge", "viewer"])
def test_an_invitation_says_everything_that_it_opens_and_nothing_else(
    person: Callable[..., Any], guest: Callable[[str], Any], services: SiteServices, role: str
) -> None:
    from talkalike.store.judging import judges
    from talkalike.website.pages import PAGES

    assert set(PHRASES) == {f"/{each.name}/" for each in PAGES}
    token, _ = services.store.call(judges.invite, judges.Group(role), by=None)
    said = page(person(), f"/invite/{token}/")
    who = guest(role)
    for address, words in PHRASES.items():
        assert (who.get(address).status_code == 200) is (words in said), address
    chats = "talk to the double" in said
    assert ("Whoever runs the computer that the site is on could read everything" in said) is chats


def test_only_the_owner_sees_the_worst_replies(person: Callable[..., Any], guest: Callable[[str], Any]) -> None:
    """As that page promises."""
    assert "Only you see this page." in page(person("owner"), "/insights/worst/")
    for other in (person("judge", "viewer"), guest("viewer"), guest("judge"), person()):
        assert other.get("/insights/worst/").status_code in (302, 403)
        assert other.get("/insights/worst.csv").status_code in (302, 403, 404)
