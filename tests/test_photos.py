"""The photos of an export: looked at on demand, told in words as context, never as what the double says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from command_line import succeed, talkalike
from exports import said, thread, write_thread
from talkalike.chats.values import Attachment, AttachmentKind, Conversation, Message, MessageKind, Platform, Speaker
from talkalike.examples.photos import FILE, ChatsWithPhotos, SeenPhoto, append_seen, read_seen
from talkalike.pictures.pixels import plain_square
from tiny_model import build_tiny_llama
from vision_server import pictures_of, vision_server

ANNA, BEN = Speaker(id="a", name="Anna"), Speaker(id="b", name="Ben")


def message(author: Speaker, text: str, *uris: str, kind: MessageKind = MessageKind.TEXT) -> Message:
    sent = tuple(Attachment(kind=AttachmentKind.PHOTO, uri=uri) for uri in uris)
    return Message(id=text or uris[0], author=author, sent_ms=0, kind=kind, text=text, attachments=sent, source="x")


class OneChat:
    def __init__(self, *messages: Message) -> None:
        self._messages = messages

    def conversations(self) -> list[Conversation]:
        return [Conversation(id="messenger:x", title="x", platform=Platform.MESSENGER, participants=(ANNA, BEN))]

    def messages(self, conversation_id: str) -> tuple[Message, ...]:
        return self._messages


def test_others_photos_are_told_and_the_chosen_speakers_are_not() -> None:
    seen = {uri: SeenPhoto(uri=uri, eye="e", words=words, sure=sure) for uri, words, sure in (
        ("1.jpg", "a dog", True), ("2.jpg", "a cat", True), ("3.jpg", "mostly grey", False)
    )}  # fmt: skip
    chat = OneChat(
        message(ANNA, "", "1.jpg", kind=MessageKind.MEDIA),
        message(ANNA, "look <image>", "1.jpg", "2.jpg"),
        message(BEN, "mine", "2.jpg"),
        message(BEN, "", "2.jpg", kind=MessageKind.MEDIA),
        message(ANNA, "", "3.jpg", kind=MessageKind.MEDIA),
        message(ANNA, "[picture: a lie]"),
    )
    told = list(ChatsWithPhotos(chat, seen, speakers={"b"}).messages("messenger:x"))
    assert [(one.kind, one.text) for one in told] == [
        (MessageKind.TEXT, "[picture: a dog]"),
        (MessageKind.TEXT, "[picture: a dog]\n[picture: a cat]\nlook ‹image›"),
        (MessageKind.TEXT, "mine"),
        (MessageKind.MEDIA, ""),
        (MessageKind.MEDIA, ""),
        (MessageKind.TEXT, "(picture: a lie]"),
    ]


def test_what_was_seen_survives_a_line_that_was_cut_off(tmp_path: Path) -> None:
    file = tmp_path / FILE
    assert read_seen(file) == {}
    one = SeenPhoto(uri="ě/1.jpg", eye="small", words='text: "x"', sure=True)
    append_seen(file, one)
    append_seen(file, SeenPhoto(uri="2.jpg", eye="small", words="?", sure=False))
    file.write_bytes(file.read_bytes()[:-9])
    assert read_seen(file) == {one.uri: one}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Anna sends Ben photos; one is missing, one broken, one an address."""
    folder = tmp_path / "export"
    names = ["red.jpg", "blue.jpg", "gone.jpg", "broken.jpg"]
    where = "your_facebook_activity/messages/inbox/benriha_1/photos"
    messages = [said("Anna Nová", None, 1, photos=[{"uri": f"{where}/{name}"}]) for name in names]
    messages.append(said("Anna Nová", None, 2, photos=[{"uri": "https://example.org/x.jpg"}]))
    for number in range(30):
        messages += [said("Anna Nová", f"and what about number {number}?", 10 + number * 10)]
        messages += [said("Ben Říha", f"number {number} is fine with me", 15 + number * 10)]
        messages += [said("Anna Nová", None, 17 + number * 10, photos=[{"uri": f"{where}/red.jpg"}])]
    write_thread(folder, thread(messages))
    photos = folder / where
    photos.mkdir(parents=True, exist_ok=True)
    (photos / "red.jpg").write_bytes(plain_square((220, 20, 20)).data)
    (photos / "blue.jpg").write_bytes(plain_square((20, 40, 220)).data)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    return folder


def test_from_an_export_to_examples(tmp_path: Path, export: Path) -> None:
    root = ("-w", tmp_path / "ws")
    succeed("init", tmp_path / "ws")
    (tmp_path / "ws" / "talkalike.toml").write_text('[model]\nbase = "tiny"\n', encoding="utf-8")
    build_tiny_llama(tmp_path / "tiny")
    succeed("models", "fetch", tmp_path / "tiny", *root)
    succeed("import", export, *root)
    assert "No eye has looked" in talkalike("prepare", "-s", "Ben Říha", "--photos", *root).err
    zipped = shutil.make_archive(str(export), "zip", export)
    with vision_server(lambda messages: f"a square of {len(pictures_of(messages[0])[0])} bytes") as (url, bodies):
        done = json.loads(succeed("eye", "photos", zipped, "--eye", url, "--json", *root).out)
        assert (done["sent"], done["looked_at"], done["recognised"]) == (5, 2, 2)
        assert sorted(done["left_out"].values()) == [1, 1, 1]
        again = json.loads(succeed("eye", "photos", zipped, "--eye", url, "--json", *root).out)
        assert (again["already_seen"], again["looked_at"]) == (2, 0) and len(bodies) == 2
    succeed("prepare", "-s", "Ben Říha", "--photos", "--no-estimate", *root)
    shown = succeed("examples", "show", *root).out
    assert "[picture: a square of" in shown
    succeed("prepare", "-s", "Ben Říha", "--no-photos", "--no-estimate", *root)
    assert "[picture" not in succeed("examples", "show", *root).out
