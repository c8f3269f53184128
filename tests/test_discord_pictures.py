"""Pictures on Discord: seen by those who may see them, once, within their time, and told in words."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import discord
import pytest
from PIL import Image

from discord_world import world
from scripted_eyes import NamingEye
from talkalike.chat.permissions import Level, Subject
from talkalike.discord_bot import pictures as pictures_module
from talkalike.discord_bot.commands.menus import story
from talkalike.discord_bot.pictures import IN_ONE, ChannelPictures
from talkalike.discord_bot.translate import translate
from talkalike.engine.eyes import Grade, Looked
from talkalike.errors import TalkalikeError
from talkalike.pictures.picture import Picture
from talkalike.pictures.pixels import pixels
from talkalike.store import people, replies
from talkalike.store.seeing import sent
from talkalike.store.tables import seeing_tables

HELLO = (("hello there",),) * 9
COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 40, 220)}


def drawn(colour: str, size: tuple[int, int] = (40, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, COLOURS[colour]).save(out, "PNG")
    return out.getvalue()


class ColourEye(NamingEye):
    """Says which colour a picture has; `fails` or takes no end where it is told to."""

    def __init__(self) -> None:
        super().__init__({})
        self.fails = False

    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Looked:
        self.looked.append((picture.hash, grade))
        if self.fails:
            raise TalkalikeError("The eye is gone.")
        mean = pixels(picture, 4).reshape(-1, 3).mean(axis=0)
        name = min(COLOURS, key=lambda colour: sum(abs(mean - COLOURS[colour])))
        return Looked(words=f"a {name} page", sure=True)


async def test_a_picture_is_told_in_its_senders_turn_and_a_bare_one_is_answered(tmp_path: Path) -> None:
    eye = ColourEye()
    async with world(tmp_path, HELLO, eye=eye) as w:
        await w.anna.send(w.open, "look <image>", attachments=[("cat.png", drawn("red"))])
        await w.wait()
        assert w.prompts()[0] == ["Anna: [picture: a red page]\nlook ‹image›"]
        await w.ben.send(w.open, "", attachments=[("dog.png", drawn("blue")), ("note.txt", b"abc")])
        await w.wait()
        assert w.prompts()[1][-1] == "Ben: [picture: a blue page]\n[file: note.txt]\n```\nabc\n```"
        assert "Anna: [picture: a red page]" in w.prompts()[1][0], "three turns later it is still told"
        assert len(eye.looked) == 2 and len(w.words(w.open)) == 2
        row = w.services.store.call(replies.recent, w.open.id, 1)[0]
        assert "it did not see the pictures themselves" in story(row)


async def test_each_picture_is_looked_at_once_also_after_a_restart(tmp_path: Path) -> None:
    eye = ColourEye()
    async with world(tmp_path, HELLO, eye=eye) as w:
        for _ in range(2):
            await w.anna.send(w.open, "this", attachments=[("cat.png", drawn("red"))])
            await w.wait()
        assert len(eye.looked) == 1, "the same picture sent again"
        assert w.services.onlooker is not None
        w.services.onlooker.forget()
        await w.restart()
        await w.anna.send(w.open, "what was it?")
        await w.wait()
        assert w.prompts()[-1][0] == "Anna: [picture: a red page]\nthis"
        assert len(eye.looked) == 1


async def test_a_broken_picture_is_told_and_the_others_are_seen(tmp_path: Path) -> None:
    heic = b"\0\0\0\x18ftypheic" + b"\0" * 40
    files = [("a.png", drawn("red")), ("b.png", drawn("blue")[:60]), ("c.jpg", heic), ("d.png", drawn("green"))]
    async with world(tmp_path, HELLO, eye=ColourEye()) as w:
        await w.anna.send(w.open, "all of these", attachments=files)
        await w.wait()
        (shown,) = w.prompts()[0]
        lines = shown.removeprefix("Anna: ").split("\n")
        assert lines[0] == "[picture: a red page]" and lines[3] == "[picture: a green page]"
        assert lines[1].startswith("[picture, not seen: b.png (") and "HEIC" in lines[2]


async def test_only_so_many_are_looked_at_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures_module, "MOST", 5)
    eye = ColourEye()
    async with world(tmp_path, HELLO, eye=eye) as w:
        sizes = [(40, 30 + number) for number in range(9)]
        pages = [(f"{number}.png", drawn("red", size)) for number, size in enumerate(sizes)]
        await w.anna.send(w.open, "older", attachments=pages[6:9])
        await w.anna.send(w.open, "many", attachments=pages[:5])
        await w.wait()
        older, many = w.prompts()[-1]
        assert many.count("a red page") == IN_ONE and "only 4 of a message are looked at at once" in many
        assert older.count("a red page") == 1 and older.count("too many at once") == 2
        await w.anna.send(w.open, "and now?")
        await w.wait()
        seen = [shown.count("a red page") for shown in w.prompts()[-1]]
        assert sum(seen) == 8 and max(seen) == 5, "the rest, for the next reply"
        assert len(eye.looked) == 8 and "too many" not in str(w.prompts()[-1])


async def test_pictures_of_people_who_are_not_seen_are_not_fetched(tmp_path: Path) -> None:
    eye = ColourEye()
    async with world(tmp_path, HELLO, eye=eye) as w:
        w.rule(Subject.USER, w.ben.id, level=Level.IGNORED)
        await w.ben.send(w.open, "secret", attachments=[("x.png", drawn("blue"))])
        await w.anna.send(w.open, "hi")
        await w.wait()
        assert w.prompts() == [["Anna: hi"]] and eye.looked == []


async def test_the_picture_of_a_message_out_of_sight_comes_with_the_answer_to_it(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO, history_limit=2, eye=ColourEye()) as w:
        first = await w.ben.send(w.open, "mine", attachments=[("x.png", drawn("blue"))])
        for number in range(3):
            await w.anna.send(w.open, f"!{number} aside")
        await w.anna.send(w.open, "what is that?", reply_to=first)
        await w.wait()
        assert "Ben: [picture: a blue page]\nmine" in w.prompts()[-1]


async def test_an_eye_that_is_gone_takes_no_reply_with_it(tmp_path: Path) -> None:
    eye = ColourEye()
    eye.fails = True
    async with world(tmp_path, HELLO, eye=eye) as w:
        await w.anna.send(w.open, "look", attachments=[("cat.png", drawn("red"))])
        await w.wait()
        assert w.prompts()[0] == ["Anna: [picture, not seen: cat.png (the eye could not be reached)]\nlook"]
        assert w.words(w.open) == ["hello there"]
        eye.fails = False
        assert w.services.onlooker is not None
        w.services.onlooker._rests_until = 0.0
        await w.anna.send(w.open, "again")
        await w.wait()
        assert w.prompts()[1][0] == "Anna: [picture: a red page]\nlook", "it is looked at as soon as that works"


async def test_an_expired_link_is_asked_for_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, tried = discord.Attachment.read, []

    async def expired_at_first(self: discord.Attachment, **options: Any) -> bytes:
        tried.append(self.id)
        if len(tried) == 1:
            raise discord.NotFound(type("R", (), {"status": 404, "reason": "gone"})(), "gone")  # type: ignore[arg-type]
        return await read(self, **options)

    monkeypatch.setattr(discord.Attachment, "read", expired_at_first)
    async with world(tmp_path, HELLO, eye=ColourEye()) as w:
        await w.anna.send(w.open, "look", attachments=[("cat.png", drawn("red"))])
        await w.wait()
        assert w.prompts()[0] == ["Anna: [picture: a red page]\nlook"] and len(tried) == 2


async def test_what_was_seen_goes_with_its_message_and_its_sender(tmp_path: Path) -> None:
    async with world(tmp_path, HELLO, eye=ColourEye()) as w:
        store = w.services.store

        def words() -> int:
            return int(seeing_tables.SeenWords.objects.count())

        message = await w.anna.send(w.open, "one", attachments=[("a.png", drawn("red"))])
        await w.anna.send(w.open, "two", attachments=[("b.png", drawn("blue"))])
        await w.ben.send(w.open, "three", attachments=[("c.png", drawn("blue"))])
        await w.wait()
        assert store.call(words) == 2 and store.call(people.count_about, w.anna.id)["pictures"] == 2
        exported = store.call(people.export_about, w.anna.id)["pictures"]
        assert [one["seen"] for one in exported] == [["a red page"], ["a blue page"]]
        await w.anna.delete(message)
        await w.env.settle()
        assert store.call(words) == 1 and store.call(people.count_about, w.anna.id)["pictures"] == 1
        assert store.call(people.forget_user, w.anna.id)["pictures"] == 1
        assert store.call(words) == 1, "Ben sent it, too"
        assert store.call(people.forget_user, w.ben.id)["pictures"] == 1
        assert store.call(words) == 0 and store.call(sent.servers) == set()


async def test_stickers_and_pictures_of_links_come_from_discord_s_hosts_alone(tmp_path: Path) -> None:
    fetched: list[str] = []

    async def fetch(url: str) -> bytes:
        fetched.append(url)
        return drawn("green")

    async with world(tmp_path, HELLO, eye=ColourEye()) as w:
        message = await w.anna.send(w.open, "https://example.org/cat")
        found = await w.bot.get_channel(w.open.id).fetch_message(message.id)  # type: ignore[union-attr]
        embeds = []
        for proxy in ("https://images-ext-1.discordapp.net/external/x/cat.png", "http://127.0.0.1:9/cat.png"):
            embed = discord.Embed(title="a cat").set_image(url="https://example.org/cat.png")
            embed._image["proxy_url"] = proxy  # as Discord adds it
            embeds.append(embed)
        found.embeds = embeds
        heard = translate(found, me=1)
        assert [file.name for file in heard.said.files] == ["a cat", "a cat"] and len(heard.pictures) == 2
        seen = replace(heard.said, seen=replace(heard.said.seen, allowed=True))
        there = ChannelPictures(w.services.onlooker, w.services.store, w.bot.contexts.recent, fetch=fetch)
        where = w.bot.conversations.places.place(w.bot.get_channel(w.open.id))
        patience = pictures_module.Patience()
        (told,) = await there.tell([seen], {seen.id: heard}, found.channel, where, patience)
        first, second = (file.picture for file in told.files)
        assert first is not None and first.looked is not None and first.looked.words == "a green page" and first.aside
        assert second is not None and second.looked is None and "could not be read" in second.unseen
        assert fetched == ["https://images-ext-1.discordapp.net/external/x/cat.png"]
