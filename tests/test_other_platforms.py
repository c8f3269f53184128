"""Telegram, Discord, Slack, Google Chat and Matrix: what each keeps, and two of everything that can be confused."""

from __future__ import annotations

from pathlib import Path

import pytest

from exports import stored
from other_exports import import_files, messages, noted, said_in, told
from talkalike.chats.archive import Archive

CSV = 'ID,Timestamp,Contents,Attachments\n30,2021-01-01 10:00:00,"a\nb",\n'
CHANNEL, OTHER = "123456789012345678", "123456789012345679"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "chats")


# ---------------------------------------------------------------------------------------------------------- Telegram
def telegram(id_, text, *, name="Anna", who="user1", at=0, **fields):
    base = {"id": id_, "type": "message", "date": "2021-03-04T10:00:00", "from": name, "from_id": who, "text": text}
    return {**base, "date_unixtime": str(1_614_852_000 + at), **fields}


def everything_of_telegram():
    """A message of each kind."""
    poll = {"question": "Where?", "answers": [{"text": "here", "voters": 1}, {"text": "there", "voters": 0}]}
    left_out = "(File not included. Change data exporting settings to download.)"
    return [
        telegram(1, ["see ", {"type": "link", "text": "https://a.b"}, "\nnow…  "]),
        telegram(2, "no", name="Anna", who="user2", at=1, reply_to_message_id=1, edited_unixtime="1614852009"),
        telegram(3, "", at=2, media_type="sticker", file=left_out, sticker_emoji="😂"),
        telegram(
            4,
            "look",
            at=3,
            photo="photos/1.jpg",
            reactions=[
                {
                    "type": "emoji",
                    "count": 1,
                    "emoji": "❤",
                    "recent": [{"from": "Ben", "from_id": "user3", "date": "2021-03-04T10:01:00"}],
                }
            ],
        ),
        telegram(5, "said by others", at=4, forwarded_from="Somebody"),
        telegram(6, "", at=5, poll=poll),
        telegram(7, "by a bot", at=6, via_bot="@gif"),
        telegram(8, "from nobody", name=None, who="user9", at=7),
        telegram(9, "", at=8, media_type="hologram", file="files/x.holo"),
        {
            "id": 10,
            "type": "service",
            "date": "2021-03-04T10:02:00",
            "actor": "Anna",
            "actor_id": "user1",
            "action": "phone_call",
        },
        {"id": 11, "type": "service", "date": "x", "action": "pin_message"},
        telegram(12, "old export, no zone", at=0, date_unixtime=None, date="2021-03-04T12:00:00"),
    ]


def test_telegrams_whole_account_with_all_that_a_message_can_be(archive):
    chats = [
        {"name": "Lunch", "type": "private_group", "id": 5, "messages": everything_of_telegram()},
        {"name": "Lunch", "type": "private_group", "id": 6, "messages": [telegram(1, "another Lunch")]},
        {
            "name": "Ben",
            "type": "personal_chat",
            "id": 3,
            "messages": [telegram(1, "just us", name="Ben", who="user3")],
        },
    ]
    content = {
        "about": "Here is",
        "contacts": {"list": [{"x": 1}]},
        "chats": {"about": "y", "list": chats},
        "left_chats": {
            "list": [{"name": "Gone", "type": "private_supergroup", "id": 7, "messages": [telegram(1, "bye")]}]
        },
    }
    report = import_files(archive, {"DataExport/result.json": content})
    assert sorted(stored(archive)) == ["telegram:3", "telegram:5", "telegram:6", "telegram:7"]
    assert report.unreadable == {"without a usable time": 1}
    found = {m.id: m for m in messages(archive, "telegram:5")}
    assert found["1"].text == "see https://a.b\nnow…  "
    assert found["1"].author != found["2"].author and found["1"].author.name == found["2"].author.name
    assert noted(found["2"]) == {"reply_to": "1", "edited": True}
    assert (found["3"].kind, noted(found["3"])) == ("sticker", {"attached": [("sticker", "")]})
    assert noted(found["4"]) == {"attached": [("photo", "photos/1.jpg")], "reactions": [("Ben", "❤")]}
    assert noted(found["5"]) == {"forwarded": True}
    assert (found["6"].kind, found["6"].text) == ("poll", "Where?\n- here\n- there")
    assert noted(found["7"]) == {"is_bot": True}
    assert found["8"].author.name == "Deleted Account" and found["10"].kind == "call"
    assert noted(found["9"]) == {"attached": [("file", "files/x.holo")]}
    assert told(archive, "telegram:5")[-1] == "2021-03-04 12:00:00 text Anna: old export, no zone"
    groups = {chat.id: chat.is_group for chat in archive.conversations()}
    assert groups == {"telegram:3": False, "telegram:5": True, "telegram:6": True, "telegram:7": True}


def test_a_bots_chat_and_a_truncated_file_of_telegram(archive):
    chat = {
        "name": "Helper",
        "type": "bot_chat",
        "id": 44,
        "messages": [telegram(1, "/start"), telegram(2, "Welcome", name="Helper", who="user44", at=1)],
    }
    import_files(archive, {"ChatExport/result.json": chat})
    assert [m.is_bot for m in messages(archive)] == [False, True]
    text = (
        '{"name": "Ben", "type": "personal_chat", "id": 3, "messages": [{"id": 1, "type": "message", "date_unixtime": '
    )
    report = import_files(
        archive, {"ChatExport/result.json": f'{text}"1614852000", "from": "Ben", "text": "x"}}, {{"id'}
    )
    assert report.new == 1 and report.damaged[0].reason == "it ends in the middle"


def test_a_later_export_brings_edits_and_reactions_to_what_is_stored(archive):
    def chat(message):
        return {"result.json": {"name": "Ben", "type": "personal_chat", "id": 3, "messages": [message]}}

    import_files(archive, chat(telegram(1, "frist")))
    reactions = [{"type": "emoji", "emoji": "👍", "recent": [{"from": "Ben"}]}]
    report = import_files(archive, chat(telegram(1, "first", edited="2021-03-04T10:05:00", reactions=reactions)))
    assert (report.new, report.updated) == (0, 1)
    (message,) = messages(archive)
    assert (message.text, noted(message)) == ("first", {"edited": True, "reactions": [("Ben", "👍")]})


# ----------------------------------------------------------------------------------------------------------- Discord
def discord(id_, text, *, who="1", name="anna", type_="Default", **fields):
    return {
        "id": str(id_),
        "type": type_,
        "timestamp": f"2022-01-02T10:00:{id_ % 60:02}.123+01:00",
        "timestampEdited": None,
        "content": text,
        "author": {"id": who, "name": name, "nickname": name.title(), "isBot": False},
        "attachments": [],
        **fields,
    }


def exporter(found, *, channel=CHANNEL, guild="5"):
    about = {"id": channel, "type": "GuildTextChat" if guild != "0" else "DirectTextChat", "name": "general"}
    return {"guild": {"id": guild, "name": "Home"}, "channel": about, "messages": found, "messageCount": len(found)}


def test_discords_package_and_the_exporter_come_together(archive):
    seen = [
        discord(1, "hello"),
        discord(2, "hi, Anna", who="2", name="ben", type_="Reply", reference={"messageId": "1"}),
        discord(3, "Started a call that lasted 113 minutes.", type_="Call"),
        discord(4, "Joined the server.", who="3", name="dan", type_="GuildMemberJoin"),
        discord(
            5,
            "changed",
            timestampEdited="2022-01-02T10:05:00+01:00",
            reactions=[{"emoji": {"id": "", "name": "👍"}, "count": 2, "users": [{"name": "ben", "nickname": "Ben"}]}],
        ),
        discord(6, "", attachments=[{"url": "https://cdn/x.png?ex=1", "fileName": "x.png"}]),
        discord(7, "", forwardedMessage={"content": "from elsewhere", "attachments": []}, reference={"messageId": "9"}),
        discord(8, "roll 6", who="4", name="dice", interaction={"id": "1", "name": "roll"}),
    ]
    package = [
        {"ID": 1, "Timestamp": "2022-01-02 09:00:01", "Contents": "hello", "Attachments": ""},
        {"ID": 20, "Timestamp": "2022-01-03 09:00:01.123000+00:00", "Contents": "only mine, <@2>", "Attachments": ""},
    ]
    files = {
        "package/Account/user.json": {"id": "1", "username": "anna", "global_name": "Anna"},
        "package/Messages/index.json": {CHANNEL: "general in Home", OTHER: "Direct Message with ben"},
        f"package/Messages/c{CHANNEL}/channel.json": {"id": CHANNEL, "type": "GUILD_TEXT", "name": "general"},
        f"package/Messages/c{CHANNEL}/messages.json": package,
        f"package/Messages/c{OTHER}/channel.json": {"id": OTHER, "type": "DM", "recipients": ["1", "2"]},
        f"package/Messages/c{OTHER}/messages.csv": CSV,
        "Home - general.json": exporter(seen),
    }
    report = import_files(archive, files)
    assert not report.damaged and not report.unreadable
    assert any("own messages only" in note for note in report.notes)
    assert any("ask those who wrote" in note for note in report.notes)
    found = {m.id: m for m in messages(archive, f"discord:{CHANNEL}")}
    assert sorted(found, key=int) == ["1", "2", "3", "4", "5", "6", "7", "8", "20"]
    assert found["20"].author == found["1"].author and found["20"].author.id == "discord:1"
    assert found["1"].sent_ms == 1_641_114_001_123
    assert [found[key].kind.value for key in ("3", "4", "6")] == ["call", "system", "media"]
    assert noted(found["2"]) == {"reply_to": "1"}
    assert noted(found["5"]) == {"edited": True, "reactions": [("Ben", "👍")]}
    assert (found["7"].text, noted(found["7"])) == ("from elsewhere", {"forwarded": True})
    assert noted(found["8"]) == {"is_bot": True}
    assert told(archive, f"discord:{OTHER}") == ["2021-01-01 10:00:00 text Anna: a\nb"]
    direct = next(chat for chat in archive.conversations() if chat.id == f"discord:{OTHER}")
    assert (direct.title, direct.is_group) == ("Direct Message with ben", False)


# ------------------------------------------------------------------------------------------------------------- Slack
def test_slacks_channels_direct_chats_threads_and_bots(archive):
    def message(at, text, user="U1", **fields):
        return {"type": "message", "user": user, "text": text, "ts": f"1456427378.0000{at:02}", **fields}

    files = {
        "users.json": [
            {"id": "U1", "name": "anna", "real_name": "Anna N", "profile": {"display_name": "Anna"}},
            {"id": "U2", "name": "anna2", "profile": {"display_name": "Anna"}},
            {"id": "U3", "name": "bot", "is_bot": True, "profile": {"real_name": "Helper"}},
        ],
        "channels.json": [{"id": "C1", "name": "general", "members": ["U1", "U2"]}],
        "dms.json": [{"id": "D1", "created": 1, "members": ["U1", "U2"]}],
        "general/2016-02-25.json": [
            message(1, "&lt;b&gt; &amp; <@U2> in <#C1|general>, see <https://a.b/c|a.b/c> <https://x.y> <!here>"),
            message(
                2, "answer", "U2", thread_ts="1456427378.000001", reactions=[{"name": "+1", "users": ["U1", "U9"]}]
            ),
            message(3, "waves", subtype="me_message", edited={"user": "U1", "ts": "1"}),
            message(4, "<@U2> has joined the channel", "U2", subtype="channel_join"),
            message(5, "I am a bot", "U3"),
            message(6, "", files=[{"name": "p.png", "mimetype": "image/png", "url_private": "https://f/p.png"}]),
            message(7, "This message was deleted.", subtype="tombstone", user="USLACKBOT"),
            {"type": "message", "subtype": "bot_message", "text": "built", "username": "CI", "ts": "1456427378.000008"},
            {"type": "message", "text": "who?", "user": "U1"},
        ],
        "general/2016-02-26.json": [],
        "D1/2016-02-25.json": [message(1, "just us")],
    }
    report = import_files(archive, {f"workspace/{name}": content for name, content in files.items()})
    assert report.unreadable == {"without a usable time": 1}
    found = messages(archive, "slack:C1")
    assert found[0].text == "<b> & @Anna in #general, see https://a.b/c https://x.y @here"
    assert {m.author.id for m in found if m.author.name == "Anna"} == {"slack:U1", "slack:U2"}
    assert noted(found[1]) == {"reply_to": "1456427378.000001", "reactions": [("Anna", ":+1:"), ("U9", ":+1:")]}
    assert (found[2].kind, noted(found[2])) == ("action", {"edited": True})
    assert [m.kind.value for m in found[3:6]] == ["system", "text", "media"]
    assert [noted(m) for m in found[4:]] == [
        {"is_bot": True},
        {"attached": [("photo", "https://f/p.png")]},
        {"unsent": True},
        {"is_bot": True},
    ]
    direct = next(chat for chat in archive.conversations() if chat.id == "slack:D1")
    assert (direct.title, direct.is_group, len(direct.participants)) == ("Anna, Anna", False, 2)


# ------------------------------------------------------------------------------------------------------- Google Chat
def test_google_chats_direct_chats_and_spaces(archive):
    def message(at, text, who="anna", **fields):
        creator = {"name": who.title(), "email": f"{who}@example.com", "user_type": "Human"}
        date = f"Tuesday, January 5, 2021 at 3:04:{at:02}\u202fPM UTC"
        return {"creator": creator, "created_date": date, "text": text, "message_id": f"x/t/{at}", **fields}

    found = [
        message(1, "hello"),
        message(2, "no", "ben", quoted_message_metadata={"message_id": "x/t/1", "text": "hello"}),
        message(3, "typo", updated_date="Tuesday, January 5, 2021 at 3:05:00 PM UTC"),
        message(4, "", attached_files=[{"original_name": "a.jpg", "export_name": "File-a.jpg"}]),
        message(5, "👍?", reactions=[{"emoji": {"unicode": "🎉"}, "reactor_emails": ["ben@example.com"]}]),
        {
            "created_date": "Tuesday, January 5, 2021 at 3:04:06 PM UTC",
            "message_state": "DELETED",
            "message_id": "x/t/6",
        },
        {**message(7, "when?"), "created_date": "mardi 5 janvier"},
    ]
    members = [{"name": "Anna", "email": "anna@example.com"}, {"name": "Ben", "email": "ben@example.com"}]
    files = {
        "Takeout/Google Chat/Groups/DM AbC/messages.json": {"messages": found},
        "Takeout/Google Chat/Groups/DM AbC/group_info.json": {"members": members},
        "Takeout/Google Chat/Groups/Space XyZ/messages.json": {"messages": [message(1, "all")]},
        "Takeout/Google Chat/Groups/Space XyZ/group_info.json": {"name": "Plans", "members": members},
    }
    report = import_files(archive, files)
    assert report.unreadable == {"without a usable time": 1}
    direct = messages(archive, "google-chat:DM AbC")
    assert told(archive, "google-chat:DM AbC")[0] == "2021-01-05 15:04:01 text Anna: hello"
    assert [noted(m) for m in direct[1:]] == [
        {"reply_to": "x/t/1"},
        {"edited": True},
        {"attached": [("photo", "File-a.jpg")]},
        {"reactions": [("Ben", "🎉")]},
        {"unsent": True},
    ]
    assert {c.id: (c.title, c.is_group) for c in archive.conversations()} == {
        "google-chat:DM AbC": ("Anna, Ben, (deleted)", False),
        "google-chat:Space XyZ": ("Plans", True),
    }


# ------------------------------------------------------------------------------------------------------------ Matrix
def test_a_room_of_matrix_with_edits_reactions_and_what_was_taken_back(archive):
    def event(at, content, *, type_="m.room.message", sender="@anna:a.org", **fields):
        base = {"type": type_, "sender": sender, "event_id": f"${at}", "room_id": "!r:a.org"}
        return {**base, "origin_server_ts": 1_600_000_000_000 + at, "content": content, **fields}

    def text(body, **fields):
        return {"msgtype": "m.text", "body": body, **fields}

    reply = {"m.relates_to": {"m.in_reply_to": {"event_id": "$2"}}}
    edit = {"m.new_content": text("hello"), "m.relates_to": {"rel_type": "m.replace", "event_id": "$2"}}
    events = [
        event(1, {"displayname": "Anna", "membership": "join"}, type_="m.room.member", state_key="@anna:a.org"),
        event(2, text("helo")),
        event(3, text("> <@anna:a.org> helo\n> twice\n\nquoted\n> mine", **reply), sender="@anna:b.org"),
        event(4, text("* hello", **edit)),
        event(5, {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$2", "key": "👍"}}, type_="m.reaction"),
        event(6, {"msgtype": "m.emote", "body": "waves"}),
        event(7, {"msgtype": "m.image", "body": "a.png", "url": "mxc://a/b", "info": {"mimetype": "image/png"}}),
        event(8, {"ciphertext": "x"}, type_="m.room.encrypted"),
        event(9, {}, unsigned={"redacted_because": {"type": "m.room.redaction"}}),
        event(10, {"msgtype": "m.notice", "body": "beep"}, sender="@bot:a.org"),
        event(
            11,
            {"org.matrix.msc3381.poll.start": {"question": {"body": "Where?"}}},
            type_="org.matrix.msc3381.poll.start",
        ),
    ]
    room = {"room_name": "Room", "room_creator": "@anna:a.org", "exported_by": "x", "messages": events}
    report = import_files(archive, {"matrix.json": room})
    assert report.unreadable == {"encrypted, and the export had no key for it": 1}
    found = {m.id: m for m in messages(archive, "matrix:!r:a.org")}
    assert (found["$2"].text, noted(found["$2"])) == ("hello", {"edited": True, "reactions": [("Anna", "👍")]})
    assert (found["$3"].text, noted(found["$3"])) == ("quoted\n> mine", {"reply_to": "$2"})
    assert (found["$3"].author.name, found["$3"].author.id) == ("anna", "matrix:@anna:b.org")
    assert [found[key].kind.value for key in ("$1", "$6", "$7", "$11")] == ["system", "action", "media", "poll"]
    assert noted(found["$7"]) == {"attached": [("photo", "mxc://a/b")]}
    assert noted(found["$9"]) == {"unsent": True} and noted(found["$10"]) == {"is_bot": True}
    assert ("Anna", "waves") in said_in(archive)
