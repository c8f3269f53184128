"""The double on simcord's Discord: whom it answers, when, with what, and what it keeps to itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from discord_world import world
from talkalike.chat.permissions import Access, Level, Subject
from talkalike.engine.protocol import Prompt
from talkalike.engine.scripted import ScriptedEngine
from talkalike.replying import writing
from talkalike.store import people, replies
from talkalike.store.replies import ReplyState

HELLO = (("hello there",),)
THERE = "Anton: hello there"


def echo(prompt: Prompt) -> tuple[str, ...]:
    """Answers with the newest words it was shown."""
    return (f"re: {prompt.turns[-1].text}",)


async def test_it_answers_where_it_is_allowed_and_nowhere_else(tmp_path: Path) -> None:
    async with world(tmp_path, echo) as w:
        await w.anna.send(w.open, "one")
        await w.anna.send(w.mention, "not for the bot")
        await w.ben.send(w.mention, f"{w.me} two")
        await w.ben.send(w.closed, f"{w.me} three")
        await w.anna.send_dm("four")
        await w.wait()
        assert w.words(w.open) == ["re: one"]
        assert w.words(w.mention) == ["re: @TestBot two"]
        assert w.words(w.closed) == []
        assert w.words(w.dm(w.anna)) == ["re: four"]


async def test_nothing_visible_happens_for_somebody_who_is_ignored(tmp_path: Path) -> None:
    async with world(tmp_path, echo) as w:
        w.rule(Subject.USER, w.anna.id, level=Level.IGNORED)
        before = len(w.env.http_requests)
        await w.anna.send(w.open, f"{w.me} hello?")
        await w.wait()
        assert w.engine.prompts == []
        assert w.env.http_requests[before:] == []
        await w.ben.send(w.open, "what did Anna say?")
        await w.wait()
        assert w.prompts() == [["Ben: what did Anna say?"]]


async def test_a_reply_to_one_of_its_messages_is_meant_for_it(tmp_path: Path) -> None:
    async with world(tmp_path, echo) as w:
        await w.anna.send(w.mention, f"{w.me} first")
        await w.wait()
        mine = w.mention.history()[-1]
        theirs = w.mention.history()[0]
        await w.ben.send(w.mention, "to Anna", reply_to=theirs)
        await w.ben.send(w.mention, "to you", reply_to=mine)
        await w.wait()
        assert w.words(w.mention) == ["re: @TestBot first", "re: to you"]


async def test_it_waits_for_the_end_of_a_burst_and_answers_the_newest_message_once(tmp_path: Path) -> None:
    async with world(tmp_path, echo) as w:
        await w.anna.send(w.mention, f"{w.me} so")
        await w.wait(2)
        await w.anna.send(w.mention, "what I wanted to say")
        await w.wait(2)
        await w.anna.typing(w.mention)
        await w.wait(2)
        assert w.engine.prompts == []
        await w.anna.send(w.mention, "is this")
        await w.wait()
        assert w.words(w.mention) == ["re: is this"]
        assert w.prompts() == [["Anna: @TestBot so", "Anna: what I wanted to say", "Anna: is this"]]


async def test_a_burst_without_end_is_answered_all_the_same(tmp_path: Path) -> None:
    async with world(tmp_path, echo) as w:
        for number in range(8):
            await w.anna.send(w.open, f"and {number}")
            await w.wait(2)
        assert len(w.engine.prompts) >= 1


async def test_side_talk_is_neither_answered_nor_seen(tmp_path: Path) -> None:
    async with world(tmp_path, echo) as w:
        await w.anna.send(w.open, "!do not listen")
        await w.wait()
        assert w.engine.prompts == []
        await w.anna.send(w.open, "listen")
        await w.wait()
        assert w.prompts() == [["Anna: listen"]]


async def test_two_people_who_address_it_at_once_both_get_a_reply(tmp_path: Path) -> None:
    async with world(tmp_path, echo) as w:
        await w.anna.send(w.mention, f"{w.me} I am Anna")
        await w.ben.send(w.mention, f"{w.me} I am Ben")
        await w.wait(8)
        assert sorted(w.words(w.mention)) == ["re: @TestBot I am Anna", "re: @TestBot I am Ben"]


async def test_words_that_come_before_anything_is_visible_replace_the_reply(tmp_path: Path) -> None:
    engine = ScriptedEngine(echo, delay=5.0)
    async with world(tmp_path, engine=engine) as w:
        await w.anna.send(w.open, "old")
        await w.wait(4)
        assert engine.running == 1
        await w.anna.send(w.open, "new")
        assert engine.running == 0
        await w.wait(60)
        assert w.words(w.open) == ["re: new"]
        rows = w.services.store.call(replies.recent, w.open.id, 5)
        assert [row.state for row in rows] == [ReplyState.DONE, ReplyState.STALE]


async def test_what_is_posted_stays_and_the_next_words_get_their_own_reply(tmp_path: Path) -> None:
    engine = ScriptedEngine(echo, delay=5.0)
    async with world(tmp_path, engine=engine) as w:
        await w.anna.send(w.open, "a b c")
        await w.wait(12)  # its first word, and the three seconds in which it might have come whole
        assert w.words(w.open) == ["re:"]
        await w.anna.send(w.open, "d")
        await w.wait(60)
        assert w.words(w.open) == ["re: a b c", "re: d"]


async def test_an_edit_within_a_minute_changes_the_reply_in_its_place(tmp_path: Path) -> None:
    async with world(tmp_path, echo) as w:
        sent = await w.anna.send(w.open, "helo")
        await w.wait()
        first = w.open.history()[-1]
        await w.ben.send(w.closed, "elsewhere")
        await w.anna.edit(sent, "hello")
        await w.wait(1)
        assert w.words(w.open) == ["re: hello"]
        assert w.open.history()[-1].id == first.id
        await w.wait(100)
        await w.anna.edit(sent, "hullo")
        await w.wait()
        assert w.words(w.open) == ["re: hello"]


async def test_an_edit_to_fewer_messages_removes_the_rest(tmp_path: Path) -> None:
    def script(prompt: Prompt) -> tuple[str, ...]:
        return ("one", "two", "three") if "many" in prompt.turns[-1].text else ("only",)

    async with world(tmp_path, script) as w:
        sent = await w.anna.send(w.open, "many")
        await w.wait(10)
        assert w.words(w.open) == ["one", "two", "three"]
        await w.anna.edit(sent, "few")
        await w.wait(10)
        assert w.words(w.open) == ["only"]
        await w.anna.edit(sent, "many again")
        await w.wait(10)
        assert w.words(w.open) == ["one", "two", "three"]


async def test_a_message_that_is_deleted_before_the_reply_gets_none(tmp_path: Path) -> None:
    engine = ScriptedEngine(echo, delay=5.0)
    async with world(tmp_path, engine=engine) as w:
        first = await w.anna.send(w.open, "never mind")
        await w.anna.delete(first)
        await w.wait(60)
        assert engine.prompts == []
        second = await w.anna.send(w.open, "nor this")
        await w.wait(4)
        assert engine.running == 1
        await w.anna.delete(second)
        assert engine.running == 0
        await w.wait(60)
        assert w.words(w.open) == []
        rows = w.services.store.call(replies.recent, w.open.id, 5)
        assert [row.state for row in rows] == [ReplyState.CANCELLED]


async def test_a_cross_by_the_asker_or_a_mod_cancels_and_nobody_elses_does(tmp_path: Path) -> None:
    engine = ScriptedEngine((("one two three four five six seven eight",),), delay=5.0)
    async with world(tmp_path, engine=engine) as w:
        sent = await w.anna.send(w.open, "go")
        await w.wait(18)
        assert engine.running == 1
        await w.ben.react(sent, "❌")
        assert engine.running == 1
        await w.anna.react(sent, "👍")
        assert engine.running == 1
        await w.anna.react(sent, "❌")
        assert engine.running == 0
        shown = w.words(w.open)
        assert shown and "eight" not in shown[0]
        w.rule(Subject.USER, w.ben.id, level=Level.MOD)
        await w.anna.send(w.open, "again")
        await w.wait(18)
        assert engine.running == 1
        await w.ben.react(w.open.history()[-1], "❌")
        assert engine.running == 0
        rows = w.services.store.call(replies.recent, w.open.id, 5)
        assert [row.state for row in rows] == [ReplyState.CANCELLED, ReplyState.CANCELLED]
        assert [one.text for one in rows[1].messages] == shown


async def test_the_cancel_button_works_while_it_writes_and_gives_way_to_others(tmp_path: Path) -> None:
    engine = ScriptedEngine((("one two three four five six",),), delay=5.0)
    async with world(tmp_path, engine=engine) as w:
        await w.anna.send(w.open, "go")
        await w.wait(18)
        reply = w.open.history()[-1]
        (row,) = w.services.store.call(replies.recent, w.open.id, 5)
        refused = await w.ben.click(reply, custom_id=f"talkalike:cancel:{row.id}")
        assert "can't" in refused.response.content
        assert engine.running == 1
        await w.anna.click(reply, custom_id=f"talkalike:cancel:{row.id}")
        assert engine.running == 0
        await w.wait(30)
        buttons = [item.custom_id for line in w.open.history()[-1].components for item in line.children]
        judging = [f"talkalike:rate:{row.id}:up", f"talkalike:rate:{row.id}:down", f"talkalike:judge:{row.id}"]
        assert buttons == [f"talkalike:again:{row.id}", f"talkalike:why:{row.id}", *judging]


async def test_what_a_slow_reply_has_shown_is_in_the_store_before_its_end(tmp_path: Path) -> None:
    """So that a killed process leaves no doubt about what people have read."""
    engine = ScriptedEngine((("one", "two three four"),), delay=5.0)
    async with world(tmp_path, engine=engine) as w:
        await w.anna.send(w.open, "go")
        await w.wait(15)
        assert w.words(w.open)[0] == "one"
        (row,) = w.services.store.call(replies.unfinished)
        assert [one.text for one in row.messages] == ["one"]
        assert [one["text"] for one in row.seen["kept"]] == ["go"]
        await w.wait(30)
        (row,) = w.services.store.call(replies.recent, w.open.id, 5)
        assert (row.state, [one.text for one in row.messages]) == (ReplyState.DONE, ["one", "two three four"])


async def test_before_data_is_deleted_what_a_running_reply_saw_is_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be written after the deletion, and stay."""
    monkeypatch.setattr(writing, "SOON", 1e6)
    engine = ScriptedEngine((("one", "two three four"),), delay=5.0)
    async with world(tmp_path, engine=engine) as w:
        await w.anna.send(w.open, "go")
        await w.wait(15)
        (row,) = w.services.store.call(replies.unfinished)
        assert not row.seen and not row.messages
        await w.bot.conversations.settle()
        (row,) = w.services.store.call(replies.unfinished)
        assert [one["text"] for one in row.seen["kept"]] == ["go"]
        assert [one.text for one in row.messages] == ["one"]


async def test_the_cancel_button_of_a_reply_works_after_another_one_has_ended(tmp_path: Path) -> None:
    engine = ScriptedEngine((("short and sweet",), ("one two three four five six seven eight",)), delay=4.0)
    async with world(tmp_path, engine=engine) as w:
        await w.anna.send(w.open, "go")
        await w.ben.send(w.mention, f"{w.me} go")
        await w.wait(22)
        assert engine.running == 1
        (row,) = w.services.store.call(replies.unfinished)
        place = w.open if row.channel_id == w.open.id else w.mention
        asker = w.anna if place is w.open else w.ben
        await asker.click(place.history()[-1], custom_id=f"talkalike:cancel:{row.id}")
        assert engine.running == 0


async def test_the_again_button_writes_anew_in_the_same_place_even_after_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path, (("first try",), ("second try",))) as w:
        await w.anna.send(w.open, "go")
        await w.wait()
        reply = w.open.history()[-1]
        (row,) = w.services.store.call(replies.recent, w.open.id, 5)
        await w.restart()
        await w.anna.click(reply, custom_id=f"talkalike:again:{row.id}")
        await w.wait(5)
        assert w.words(w.open) == ["second try"]
        assert w.open.history()[-1].id == reply.id


async def test_what_a_dm_and_a_private_channel_hold_appears_nowhere_else(tmp_path: Path) -> None:
    async with world(tmp_path, echo) as w:
        secret = w.guild.create_text_channel("cellar")
        w.rule(Subject.CHANNEL, secret.id, access=Access.OPEN)
        await w.anna.send_dm("dm secret")
        await w.anna.send(secret, "cellar secret")
        await w.ben.send(w.open, "public")
        await w.ben.send_dm("ben's dm")
        await w.wait()
        await w.anna.send(w.open, f"what do you know of <#{secret.id}>?")
        await w.wait()
        for prompt in w.engine.prompts:
            shown = "\n".join(turn.text for turn in prompt.turns)
            assert sum(word in shown for word in ("dm secret", "cellar secret", "public", "ben's dm")) == 1
        assert {prompt.conversation for prompt in w.engine.prompts} >= {f"discord:{w.open.id}", f"discord:{secret.id}"}
        assert len({prompt.conversation for prompt in w.engine.prompts}) == 4


async def test_people_who_opted_out_are_not_seen_nor_answered(tmp_path: Path) -> None:
    async with world(tmp_path, echo) as w:
        w.services.store.call(people.set_consent, w.anna.id, seen=False)
        await w.anna.send(w.open, "hidden words")
        await w.wait()
        assert w.engine.prompts == []
        assert len(w.notices(w.open)) == 1
        await w.anna.send(w.open, "more hidden words")
        await w.wait()
        assert len(w.notices(w.open)) == 1
        await w.ben.send(w.open, "answer me")
        await w.wait()
        assert w.prompts() == [["Ben: answer me"]]
