"""Signal (two programs), iMessage (text and database), Instagram, and tables of any other chat."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from exports import doubled, said, stored, thread
from format_writers import archived, imessage_database
from other_exports import import_files, messages, noted, said_in, told
from talkalike.chats.archive import Archive
from talkalike.errors import UserError


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "chats")


# -------------------------------------------------------------------------------------------------- Signal, Instagram
def test_signal_exports_data_and_its_text(archive):
    data = [
        {"date": "2023-05-01T10:00:00", "sender": "Me", "body": "hi: there  ", "reactions": [["Ben", "👍"]]},
        {
            "date": "2023-05-01T10:00:01",
            "sender": "Ben",
            "body": "  ",
            "attachments": [{"name": "a", "path": "media/a.jpg"}],
        },
        {"date": "2023-05-01T10:00:02", "sender": "No-Sender", "body": "  "},
        {"date": "2023-05-01T10:00:03", "sender": "Ben", "body": "Incoming call  "},
        {"date": "soon", "sender": "Ben", "body": "x"},
    ]
    text = (
        "[2023-05-01 10:00:00] Me: two\nlines  \n(- Ben: 👍, Dan: 😂 -)\n\n"
        "[2023-05-01 10:00:05] Ben: \n\n> two\n> lines\n\nan answer  \n\n"
        "[2023-05-01 10:00:06] Ben: ![a.jpg](./media/a.jpg)  \n\n[2023-05-01 10:00:07] Ben:   \n(( 😀 ))\n"
    )
    files = {
        "export/Ben/data.json": "\n".join(json.dumps(line) for line in data),
        "export/Ben/chat.md": "[2023-05-01 10:00:00] Me: told twice\n",
        "export/Dan/chat.md": text,
    }
    report = import_files(archive, files)
    assert report.unreadable == {"without a usable time": 1} and report.skipped[0].files == ("export/Ben/chat.md",)
    ben, dan = messages(archive, "signal:Ben"), messages(archive, "signal:Dan")
    assert [(m.kind.value, m.text) for m in ben] == [
        ("text", "hi: there"),
        ("media", ""),
        ("system", ""),
        ("call", "Incoming call"),
    ]
    assert noted(ben[0]) == {"reactions": [("Ben", "👍")]} and noted(ben[1]) == {"attached": [("photo", "media/a.jpg")]}
    assert [m.text for m in dan] == ["two\nlines", "an answer", "", ""]
    assert noted(dan[0]) == {"reactions": [("Ben", "👍"), ("Dan", "😂")]}
    assert [m.kind.value for m in dan[2:]] == ["media", "sticker"]


def test_signal_desktops_history_keeps_people_of_one_name_and_chats_apart(archive):
    def item(chat, author, at, **fields):
        return {"chatItem": {"chatId": chat, "authorId": author, "dateSent": str(1_700_000_000_000 + at), **fields}}

    def words(body, **fields):
        return {"standardMessage": {"text": {"body": body}, **fields}}

    quote = {"targetSentTimestamp": "1700000000000", "authorId": "2", "text": {"body": "hi"}}
    lines = [
        {"version": "1", "backupTimeMs": "1", "mediaRootBackupKey": "x"},
        {"recipient": {"id": "1", "self": {}}},
        {"recipient": {"id": "2", "contact": {"aci": "aa", "profileGivenName": "Anna", "profileFamilyName": "N"}}},
        {"recipient": {"id": "3", "contact": {"aci": "bb", "systemGivenName": "Anna N"}}},
        {"recipient": {"id": "4", "group": {"masterKey": "k", "snapshot": {"title": {"title": "Lunch"}}}}},
        *({"chat": {"id": chat, "recipientId": who}} for chat, who in (("10", "2"), ("11", "3"), ("12", "4"))),
        item("10", "2", 0, incoming={}, **words("hi", reactions=[{"emoji": "👍", "authorId": "1"}])),
        item("12", "3", 1, incoming={}, **words("group", attachments=[{"pointer": {"contentType": "image/png"}}])),
        item("10", "1", 2, outgoing={}, **words("yes", quote=quote), revisions=[{"x": 1}]),
        item("11", "3", 3, incoming={}, stickerMessage={"sticker": {"emoji": "😀"}}),
        item("11", "3", 4, incoming={}, remoteDeletedMessage={}),
        item("11", "3", 5, directionless={}, updateMessage={"simpleUpdate": {"type": "JOINED_SIGNAL"}}),
        item("11", "3", 6, directionless={}, updateMessage={"individualCall": {"type": "AUDIO_CALL"}}),
    ]
    import_files(archive, {"signal/main.jsonl": "\n".join(json.dumps(line) for line in lines)})
    assert sorted(stored(archive)) == ["signal:aa", "signal:bb", "signal:k"]
    assert said_in(archive, "signal:aa") == [("Anna N", "hi"), ("Me", "yes")]
    first, second = messages(archive, "signal:aa")
    assert noted(first) == {"reactions": [("Me", "👍")]} and noted(second) == {"reply_to": first.id, "edited": True}
    assert [m.kind.value for m in messages(archive, "signal:bb")] == ["sticker", "text", "system", "call"]
    assert noted(messages(archive, "signal:bb")[1]) == {"unsent": True}
    assert noted(messages(archive, "signal:k")[0]) == {"attached": [("photo", "")]}


def test_instagrams_own_sentences_are_told_from_words(archive):
    found = [
        said("Anna Nová", "příliš žluťoučký"),
        said("Ben Říha", "Liked a message", 1000),
        said("Ben Říha", "Reacted 😂 to your message", 2000),
        said("Anna Nová", "I liked a message from him", 3000, reactions=[{"reaction": "❤", "actor": "Ben Říha"}]),
        said("Ben Říha", "Ben sent an attachment.", 4000, share={"link": "https://www.instagram.com/reel/x"}),
    ]
    path = "your_instagram_activity/messages/inbox/ben_1/message_1.json"
    import_files(archive, {path: json.dumps(doubled(thread(found)))})
    assert [(m.kind.value, m.text) for m in messages(archive, "instagram:benriha_1")] == [
        ("text", "příliš žluťoučký"),
        ("system", "Liked a message"),
        ("system", "Reacted 😂 to your message"),
        ("text", "I liked a message from him"),
        ("share", ""),
    ]


# ---------------------------------------------------------------------------------------------------------- iMessage
IMESSAGE = """\
May 17, 2022  5:29:42 PM (Read by you after 1 hour, 49 seconds)
Anna
Hello: world

second line
Tapbacks:
Loved by Me
Laughed by Ben

    May 17, 2022  5:31:00 PM
    Me
    a reply, told under it

May 17, 2022  5:30:00 PM You renamed the conversation to Lunch: today

May 17, 2022  5:31:00 PM
Me
a reply, told under it
This message responded to an earlier message.

May 17, 2022  5:32:00 PM
+420 777 123 456
~/Library/Messages/Attachments/1/IMG.heic

May 17, 2022 11:59:59 PM
Me
May 17, 2022 11:59:59 PM frist
Edited 5 seconds later: first

May 18, 2022 12:00:00 AM
Anna
They unsent a message!
"""


def test_imessage_exporters_text(archive):
    import_files(archive, {"Lunch - 12.txt": IMESSAGE})
    found = messages(archive, "imessage:Lunch")
    assert told(archive, "imessage:Lunch") == [
        "2022-05-17 17:29:42 text Anna: Hello: world\n\nsecond line",
        "2022-05-17 17:30:00 system iMessage: You renamed the conversation to Lunch: today",
        "2022-05-17 17:31:00 text Me: a reply, told under it",
        "2022-05-17 17:32:00 media +420 777 123 456: ",
        "2022-05-17 23:59:59 text Me: first",
        "2022-05-18 00:00:00 text Anna: ",
    ]
    assert noted(found[0]) == {"reactions": [("Me", "❤️"), ("Ben", "😂")]}
    assert noted(found[3])["attached"][0][0] == "photo"
    assert (noted(found[4]), noted(found[5])) == ({"edited": True}, {"unsent": True})


def test_the_macs_database_is_read_from_a_copy(archive, tmp_path):
    said_there = [("+420777123456", 1_600_000_000, "first"), ("a@example.com", 1_600_000_060, "x" * 300)]
    path = tmp_path / "chat.db"
    path.write_bytes(imessage_database(said_there)["Messages/chat.db"])
    ns = (1_600_000_100 - 978_307_200) * 10**9
    with closing(sqlite3.connect(path)) as database:
        insert = "INSERT INTO message (ROWID, guid, text, attributedBody, is_from_me, handle_id, date, "
        database.execute(
            f"{insert}thread_originator_guid, date_edited) VALUES (3, 'g3', NULL, ?, 1, 0, ?, 'guid1', 5)",
            (archived("mine"), ns),
        )
        database.execute(
            f"{insert}associated_message_type, associated_message_guid) "
            "VALUES (4, 'g4', 'Loved', NULL, 1, 0, ?, 2000, 'p:0/guid1')",
            (ns,),
        )
        database.execute(f"{insert}date_retracted) VALUES (5, 'g5', NULL, NULL, 0, 1, ?, 7)", (ns + 1,))
        database.execute(
            f"{insert}item_type, group_title) VALUES (6, 'g6', NULL, NULL, 1, 0, ?, 2, 'New name')", (ns + 2,)
        )
        database.execute(f"{insert}item_type) VALUES (7, 'g7', '\ufffc', NULL, 0, 2, 650000000, 0)")
        database.execute(f"{insert}item_type) VALUES (8, 'g8', 'in no chat', NULL, 0, 2, 650000000, 0)")
        database.execute("INSERT INTO attachment VALUES (1, '~/Library/IMG.jpeg', 'image/jpeg', 'IMG.jpeg')")
        database.execute("INSERT INTO message_attachment_join VALUES (7, 1)")
        database.executemany("INSERT INTO chat_message_join VALUES (1, ?)", [(row,) for row in range(3, 8)])
        database.commit()
    before = path.read_bytes()
    report = import_files(archive, {"Messages/chat.db": before})
    found = {m.id: m for m in messages(archive, "imessage:iMessage;+;chat1")}
    assert report.unreadable == {"iMessage: a message that is in no chat": 1}
    assert (found["guid1"].text, found["guid2"].text) == ("first", "x" * 300)
    assert noted(found["guid1"]) == {"reactions": [("Me", "❤️")]}
    assert (found["g3"].author.name, found["g3"].text) == ("Me", "mine")
    assert noted(found["g3"]) == {"reply_to": "guid1", "edited": True}
    assert noted(found["g5"]) == {"unsent": True} and found["g6"].kind == "system"
    assert (found["g7"].kind, found["g7"].text) == ("media", "") and "g4" not in found
    assert found["g7"].sent_ms == (650_000_000 + 978_307_200) * 1000
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.glob("chat.db*")) == ["chat.db"]


# ------------------------------------------------------------------------------------------------------------ tables
def test_tables_with_columns_of_many_names(archive):
    comma = (
        'Date,Author,Content,Channel,ID\n2020-01-01T10:00:00Z,Anna,"a ""b"", c\n2nd",one,1\n'
        "1577872860,Ben,hi,two,1\n,Ben,no time,one,3\n"
    )
    semicolon = "\ufeffčas;sender;text;timestamp\nx;Žofie;ahoj;24.12.2020 23:05:01\nx;Řehoř;x;1.1.2021 9:00\n"
    lines = [
        {"from": "Anna", "body": "hello", "ts": 1_577_872_800_000, "id": "a", "attachments": ["https://x/a.png"]},
        {"from": "Ben", "body": "hi", "ts": "1577872801", "reply_to": "a", "author_id": "7"},
        {"from": "Ben", "body": "other Ben", "ts": "2020-01-01 10:00:02", "author_id": "8"},
    ]
    report = import_files(
        archive,
        {
            "log.csv": comma,
            "české.csv": semicolon,
            "like-signal.jsonl": '{"date": "2020-01-01T10:00:00", "sender": "Dan", "text": "hi"}\n',
            "chat.jsonl": "\n".join(json.dumps(line) for line in lines) + "\nno json\n",
        },
    )
    assert report.unreadable == {"without a usable time": 1, "a line that is no JSON object": 1}
    assert told(archive, "table:one") == ['2020-01-01 10:00:00 text Anna: a "b", c\n2nd']
    assert told(archive, "table:two") == ["2020-01-01 10:01:00 text Ben: hi"]
    assert told(archive, "table:české") == [
        "2020-12-24 23:05:01 text Žofie: ahoj",
        "2021-01-01 09:00:00 text Řehoř: x",
    ]
    assert said_in(archive, "table:like-signal") == [("Dan", "hi")]
    found = messages(archive, "table:chat")
    assert [m.author.id for m in found] == ["table:Anna", "table:7", "table:8"]
    assert noted(found[0]) == {"attached": [("photo", "https://x/a.png")]} and noted(found[1]) == {"reply_to": "a"}


def test_a_table_whose_dates_nothing_decides_is_refused(archive):
    files = {"log.csv": "author,text,time\nAnna,hi,01/02/2020 10:00\nBen,hi,02/02/2020 10:00 PM\n"}
    with pytest.raises(UserError, match=r"log\.csv: the dates can be read as"):
        import_files(archive, files)
    import_files(archive, files, date_order="mdy")
    assert [line[:16] for line in told(archive)] == ["2020-01-02 10:00", "2020-02-02 22:00"]
    with pytest.raises(UserError, match=r"not a known chat export"):
        import_files(archive, {"prices.csv": "item,price\na,1\n"})
