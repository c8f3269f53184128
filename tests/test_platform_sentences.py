"""The sentences that Messenger writes itself are no one's words, in any language, however they are written."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exports import imported, said, stored, thread, write_thread
from talkalike.chats.archive import Archive
from talkalike.chats.importers import messenger_sentences
from talkalike.chats.importers.messenger_sentences import platform_sentence
from talkalike.chats.platform_lines import KNOWN
from talkalike.chats.values import MessageKind

ANNA, BEN = "Anna Nová", "Ben Říha"
TABLE = tomllib.loads(
    Path(messenger_sentences.__file__).with_name("messenger_sentences.toml").read_text(encoding="utf-8")
)
KINDS = {
    "media": MessageKind.MEDIA,
    "call": MessageKind.CALL,
    "poll": MessageKind.POLL,
    "system": MessageKind.SYSTEM,
}


def filled(sentence: str, you: str, data: st.DataObject) -> str:
    """A sentence of the table with one of its wordings and names and emoji in their places."""
    while inner := re.search(r"\[([^\[\]()]*)\]|\(([^\[\]()]*)\)", sentence):
        optional, choice = inner.groups()
        options = (choice if optional is None else f"{optional}|").split("|")
        sentence = sentence[: inner.start()] + data.draw(st.sampled_from(options)) + sentence[inner.end() :]
    some_name = [BEN, "Ben"] if sentence.startswith("{name}") else [BEN, "Ben", "Lída Malá"]
    places = {
        "who": st.sampled_from([ANNA, "Anna", you.capitalize()]),
        "name": st.sampled_from(some_name),
        "emoji": st.sampled_from(["❤", "❤️", "😂", "👍🏽", "👨‍👩‍👧"]),
        "n": st.sampled_from(["2", "13"]),
        "money": st.sampled_from(["$5.00", "100 CZK"]),
        "any": st.sampled_from(["Výlet", "Pizza & pivo"]),
    }
    return re.sub(r"\{(\w+)\}", lambda place: data.draw(places[place[1]]), sentence)


SENTENCES = [
    (kind, sentence, language["you"][0])
    for language in TABLE.values()
    for kind in KINDS
    for sentence in language.get(kind, ())
]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SENTENCES), st.sampled_from(["", " ", ".", ". ", "!"]), st.booleans(), st.data())
def test_every_sentence_of_the_table_is_known_however_it_is_written(entry, end, wide, data):
    kind, sentence, you = entry
    text = filled(sentence, you, data).strip()
    text = text[0].upper() + text[1:] + end
    if wide:
        text = " " + text.replace(" ", "  ")
    found = platform_sentence(text, ANNA, (BEN,))
    assert found is not None, text
    # A few words can be of two kinds ("you sent 5 €"); that they are no one's is what counts.
    assert found is KINDS[kind] or MessageKind.SYSTEM in (found, KINDS[kind])


@pytest.mark.parametrize(
    "text",
    [
        *("Reacted 😂 to your message ", "Anna reacted ❤ to your message ", "You reacted 👍 to Ben's message "),
        *("Zareagovala 😂 na vaši zprávu ", "Uživatelka Anna zareagovala ❤ na tvou zprávu ", "Liked a message"),
        *("Hat mit 😂 auf deine Nachricht reagiert ", "Reacted to your message ", "ANNA SENT AN ATTACHMENT. "),
        *("Anna envió un archivo adjunto.", "Reaccionó con ❤ a tu mensaje ", "Perdiste una llamada de Anna."),
        *("Anna cambió el tema del chat.", "El videochat finalizó.", "A réagi ❤ à votre message "),
        *("Vous avez manqué un appel de Ben.", "Reagiu com ❤ à sua mensagem ", "Anna wysłał(a) załącznik."),
        *(
            "Zareagował(a) ❤ na Twoją wiadomość ",
            "Ha reagito con ❤ al tuo messaggio ",
            "Anna heeft een bijlage verzonden.",
        ),
        *(
            "You sent an attachment.",
            "Anna sent a GIF from GIPHY.",
            "Anna sent 3 photos.",
            "Anna shared their location.",
        ),
        *("You replied to their story", "Anna mentioned you in their story.", "You missed a video chat with Ben."),
        *("You called Ben.", "Missed video chat", "Audio call ended", "This poll is no longer available."),
        *(
            'Anna voted for "Pizza" in the poll: "Food?".',
            "You set Ben's nickname to B.",
            "Anna cleared her own nickname.",
        ),
        *("Anna made Ben an admin.", "Anna is now an admin.", "Anna waved at you.", "You waved at Ben."),
        *("Anna requested $5.00.", "You sent $5.00 to Ben.", "Anna started a plan.", "Anna responded Going to Dinner."),
        *("Anna set 🍕 as the quick reaction.", "Word effect changed", "Anna turned on disappearing messages."),
        *("Anna set up a chat theme", "Anna unsent a message", "Say hi to your new Facebook friend, Anna."),
        "You can now message and call each other and see info like Active Status and when you've read messages.",
        "Messages and calls are secured with end-to-end encryption. Only people in this chat can read them.",
    ],
)
def test_sentences_as_exports_have_them(text):
    assert platform_sentence(text, ANNA, (BEN,)) is not None


@pytest.mark.parametrize(
    "text",
    [
        *("ok", "Ok.", "haha", "😂😂", "volám", "Hovor", "missed call", "missed you", "zmeškal vlak", "call me"),
        *("You called me.", "you called me yesterday", "you sent a photo of that?", "you added me to the group"),
        *("you added too much salt to the soup", "you voted for him", "you turned on me", "Reacted badly"),
        *("Anna is home", "Anna left", "ahoj Anna", "Anna, you left the group.", "Ben left the group."),
        *(
            "du hast mich angerufen",
            "reagoval na moji zprávu",
            "Te llamó ayer",
            "tu hai votato lega",
            "say hi to your mom",
        ),
        *("i ❤ you", "reakce 😂 na to", "posílám fotku", "Call ended badly", "You are now connected to me"),
    ],
)
def test_peoples_own_words_stay_theirs(text):
    assert platform_sentence(text, ANNA, (BEN,)) is None


def test_a_name_in_place_is_one_of_the_chat_or_written_like_one():
    assert platform_sentence("You called lída.", ANNA, (BEN,)) is None
    assert platform_sentence("You called lída.", ANNA, ("Lída",)) is MessageKind.CALL
    assert platform_sentence("You called Lída Malá.", ANNA) is MessageKind.CALL


@pytest.mark.parametrize("sender", ["An", "An Nguyễn", "A", "To", "Will Photo"])
def test_a_name_may_be_a_word_of_the_sentence(sender):
    first = sender.split()[0]
    for text in ("You sent an attachment.", f"{first} sent an attachment.", f"{first} sent a photo."):
        assert platform_sentence(text, sender, (BEN, sender)) is MessageKind.MEDIA
    assert platform_sentence("will you come to a party", sender, (BEN, sender)) is None


def test_an_export_with_reaction_lines_keeps_only_what_people_wrote(tmp_path):
    written = [
        said(ANNA, "Reacted 😂 to your message ", 1),
        said(BEN, "ok", 2),
        said(BEN, "Zareagoval 😂 na vaši zprávu ", 3),
        said(ANNA, "Anna sent an attachment. ", 4),
        said(ANNA, "haha", 5),
        said(BEN, "Ben sent an attachment.", 6),
    ]
    write_thread(tmp_path / "export", thread(written))
    archive = Archive(tmp_path / "chats")
    report = imported(tmp_path / "export", archive=archive)
    (found,) = stored(archive).values()
    assert [m.text for m in found if m.kind is MessageKind.TEXT] == ["ok", "haha"]
    lines = {line.sample: (line.count, line.why) for line in report.platform_lines}
    assert lines == {
        "Reacted 😂 to your message": (1, KNOWN),
        "Zareagoval 😂 na vaši zprávu": (1, KNOWN),
        "Ben sent an attachment.": (2, "stands for something attached"),  # one form, whoever sent it
    }
