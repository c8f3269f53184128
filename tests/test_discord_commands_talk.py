"""/chat, /thread, /reset, /context, /model, /status, /privacy and the menus of a message."""

from __future__ import annotations

import asyncio
import json

import discord
import pytest

from discord_commands import stage
from talkalike.chat.permissions import Access, Subject
from talkalike.discord_bot.markers import is_marker, is_notice
from talkalike.errors import TalkalikeError
from talkalike.store import people, replies, scoped
from talkalike.store.replies import Beginning, ReplyState

ADDRESS = "12 Hidden Lane"


async def attached(result) -> str:
    """The text of the file that came with an answer."""
    [file] = result.response.attachments
    return (await file.read()).decode()


def forgotten(play) -> list[tuple[str, ...] | None]:
    """The conversations of which the models were told to keep nothing on disk."""
    return play.bot.contexts._engines.forgotten


async def answered(play, member=None) -> tuple[discord.Message, discord.Message]:
    """A message and the double's reply to it, which saw it."""
    asked = await (member or play.vic).send(play.general, "what is for tea?")
    await play.bot.conversations.respond(asked)
    await play.env.settle()
    return asked, play.general.last_message


# ------------------------------------------------------------------------------------------------ the first answer


async def test_the_first_answer_comes_before_anything_is_looked_up(tmp_path):
    async with stage(tmp_path) as play:
        rules = play.bot.places.rules

        async def slow_rules(server_id):
            await asyncio.sleep(60)  # far beyond the three seconds Discord waits
            return await rules(server_id)

        play.bot.places.rules = slow_rules
        result = await play.vic.slash(play.general, "settings show")
        assert result.acknowledged and result.deferred and result.ephemeral
        await play.env.advance_time(61)
        assert "temperature" in play.text(result)


async def test_what_nobody_expected_is_told_and_noted(tmp_path, caplog):
    async with stage(tmp_path) as play:

        async def broken(server_id):
            raise RuntimeError("a mistake of ours")

        play.bot.places.rules = broken
        assert "noted in my log" in play.text(await play.vic.slash(play.general, "settings show"))
        assert "settings show" in caplog.text and "a mistake of ours" in caplog.text


# ------------------------------------------------------------------------------------------------- chat and thread


async def test_chat_posts_what_was_said_and_is_answered(tmp_path):
    async with stage(tmp_path) as play:
        text = play.text(await play.vic.slash(play.general, "chat", prompt="how are you? @everyone"))
        said, reply = play.general.history()[-2:]
        assert said.jump_url in text
        assert said.embeds[0].author.name == "vic"
        assert reply.content == "hello there"
        assert play.engines["ada-2"].prompts[-1].turns[-1].text.startswith("how are you?")
        assert play.engines["ada-2"].prompts[-1].turns[-1].speaker == "vic"
        row = play.store.call(replies.by_message, reply.id)
        assert row.asker_id == play.vic.id
        assert not said.mention_everyone and not reply.mention_everyone


@pytest.mark.parametrize("prompt", ["   ", "x" * 4001])
async def test_chat_needs_words(tmp_path, prompt):
    async with stage(tmp_path) as play:
        assert "between 1 and 4,000" in play.text(await play.vic.slash(play.general, "chat", prompt=prompt))
        assert play.general.last_message is None


async def test_a_thread_is_opened_with_its_asker_in_it(tmp_path):
    async with stage(tmp_path) as play:
        text = play.text(await play.vic.slash(play.general, "thread", name="tea  talk"))
        [thread] = play.general.threads
        assert thread.name == "tea talk" and thread.mention in text
        place = play.bot.places.place(play.bot.get_channel(thread.id))
        assert place.own_thread and place.parent_id == play.general.id
        assert "a thread already" in play.text(await play.vic.slash(thread, "thread", name="deeper"))
        assert "between 1 and 100" in play.text(await play.vic.slash(play.general, "thread", name=" "))
        play.put(Subject.DM, 0, server_id=0, access=Access.OPEN)
        assert "no threads here" in play.text(await play.vic.user.slash("thread", name="x"))


# ---------------------------------------------------------------------------------------------------------- reset


async def test_reset_leaves_a_marker(tmp_path):
    async with stage(tmp_path) as play:
        await play.vic.send(play.general, "old words")
        text = play.text(await play.vic.slash(play.general, "reset"))
        marker = play.general.last_message
        assert marker.jump_url in text
        assert is_marker(marker, play.bot.user.id)
        assert forgotten(play) == [(f"discord:{play.general.id}",)]
        await play.vic.send(play.general, "new words")
        shown = await attached(await play.vic.slash(play.general, "context show"))
        assert "out [before the last reset]" in shown and "IN  " in shown
        assert shown.index("old words") < shown.index("new words")


# -------------------------------------------------------------------------------------------------------- context


async def test_context_is_shown_in_private_with_reasons(tmp_path):
    async with stage(tmp_path) as play:
        await play.vic.send(play.general, "a word")
        await play.vic.send(play.general, "!aside")
        await play.iggy.send(play.general, f"ignore me, {ADDRESS}")
        result = await play.vic.slash(play.general, "context show")
        assert "I see **1** of 3 messages" in play.text(result)
        shown = await attached(result)
        assert "side talk (!)" in shown and "its author is ignored" in shown
        assert ADDRESS not in shown


async def test_messages_are_dropped_pinned_and_let_go(tmp_path):
    async with stage(tmp_path) as play:
        first = await play.vic.send(play.general, "first")
        second = await play.vic.send(play.general, "second")
        choices = await play.mona.autocomplete(play.general, "context drop", "message", "fir")
        assert choices == [{"name": "vic: first", "value": str(first.id)}]
        assert await play.iggy.autocomplete(play.general, "context drop", "message", "") == []
        assert "Done" in play.text(await play.mona.slash(play.general, "context drop", message=str(first.id)))
        assert "Done" in play.text(await play.mona.slash(play.general, "context pin", message=second.jump_url))
        assert play.store.call(scoped.marks, play.general.id) == (frozenset({first.id}), frozenset({second.id}))
        assert "dropped by hand" in await attached(await play.vic.slash(play.general, "context show"))
        assert "Done" in play.text(await play.mona.slash(play.general, "context unpin", message=str(first.id)))
        again = play.text(await play.mona.slash(play.general, "context unpin", message=str(first.id)))
        assert "neither dropped nor pinned" in again
        assert "1 mark removed" in play.text(await play.mona.slash(play.general, "context reset"))
        assert "Nothing was dropped" in play.text(await play.mona.slash(play.general, "context reset"))
        assert "mod" in play.text(await play.vic.slash(play.general, "context drop", message=str(first.id)))


async def test_only_messages_of_this_channel_can_be_marked(tmp_path):
    async with stage(tmp_path) as play:
        other = await play.anna.send(play.closed, ADDRESS)
        for message, words in (
            ("hello", "is no message"),
            (other.jump_url, "another channel"),
            (str(other.id), "not there any more"),
        ):
            text = play.text(await play.mona.slash(play.general, "context drop", message=message))
            assert words in text and ADDRESS not in text
        assert play.store.call(scoped.marks, play.general.id) == (frozenset(), frozenset())


async def test_a_fork_starts_a_thread_from_one_message(tmp_path):
    async with stage(tmp_path) as play:
        await play.vic.send(play.general, "long ago")
        chosen = await play.vic.send(play.general, "tea or coffee?")
        text = play.text(await play.vic.slash(play.general, "context fork", message=str(chosen.id)))
        [thread] = play.general.threads
        assert thread.name == "tea or coffee?" and thread.mention in text
        shown = await attached(await play.vic.slash(thread, "context show"))
        assert "tea or coffee?" in shown and "long ago" not in shown
        again = play.text(await play.vic.slash(play.general, "context fork", message=str(chosen.id)))
        assert "has a thread already" in again


# ---------------------------------------------------------------------------------------------------------- menus


async def test_why_tells_what_a_reply_saw(tmp_path):
    async with stage(tmp_path) as play:
        asked, reply = await answered(play)
        result = await play.vic.context_menu(play.general, "Why this reply?", reply)
        assert "**ada-2**" in play.text(result) and "It saw 1 messages" in play.text(result)
        assert "vic: what is for tea?" in await attached(result)
        assert "not a reply of mine" in play.text(await play.vic.context_menu(play.general, "Why this reply?", asked))


async def test_regenerate_is_for_who_asked_and_mods(tmp_path):
    async with stage(tmp_path, replies=(("one",), ("two",), ("three",))) as play:
        asked, reply = await answered(play)
        anybody = play.guild.add_member(play.env.create_user("zoe"))
        assert "Sorry" in play.text(await anybody.context_menu(play.general, "Regenerate", reply))
        assert "again" in play.text(await play.vic.context_menu(play.general, "Regenerate", reply))
        newest = play.general.last_message
        assert newest.content == "two"
        row = play.store.call(replies.recent, play.general.id, 1)[0]
        assert (row.trigger_id, row.attempt, row.state) == (asked.id, 2, ReplyState.DONE)
        assert "again" in play.text(await play.mona.context_menu(play.general, "Regenerate", newest))
        assert play.general.last_message.content == "three"


async def test_forget_wipes_and_drops(tmp_path):
    async with stage(tmp_path) as play:
        asked = await play.vic.send(play.general, f"I live at {ADDRESS}")
        await play.bot.conversations.respond(asked)
        reply = play.general.last_message
        anybody = play.guild.add_member(play.env.create_user("zoe"))
        assert "Sorry" in play.text(await anybody.context_menu(play.general, "Forget this", asked))
        text = play.text(await play.vic.context_menu(play.general, "Forget this", asked))
        assert "1 stored copy" in text
        assert forgotten(play) == [(f"discord:{play.general.id}",)]
        assert ADDRESS not in await attached(await play.vic.context_menu(play.general, "Why this reply?", reply))
        assert asked.id in play.store.call(scoped.marks, play.general.id)[0]
        assert "Done" in play.text(await play.vic.context_menu(play.general, "Forget this", reply))  # asked for it


# ---------------------------------------------------------------------------------------------------------- model


async def test_models_are_shown_chosen_and_offered(tmp_path):
    async with stage(tmp_path) as play:
        text = play.text(await play.vic.slash(play.general, "model show"))
        assert "▶ ada-2: writes like Ada, based on tiny, trained 2026-05-01, likeness 0.71" in text
        assert "• bob-1: writes like Bob (fictional)" in text and "bot's default" in text
        offered = await play.anna.autocomplete(play.general, "model use", "model", "bob")
        assert [one["value"] for one in offered] == ["bob-1"]
        assert "Bob" in play.text(await play.anna.slash(play.general, "model use", model="bob-1"))
        text = play.text(await play.vic.slash(play.general, "model show"))
        assert "▶ bob-1" in text and "chosen for this server" in text
        assert "There is: ada-2, bob-1" in play.text(await play.anna.slash(play.general, "model use", model="eve"))
        assert "admin" in play.text(await play.mona.slash(play.general, "model use", model="ada-2"))
        play.store.call(scoped.put, "server", play.guild.id, "model", "gone-7", by=1)
        assert "'gone-7' is not there any more" in play.text(await play.vic.slash(play.general, "model show"))


async def test_another_server_keeps_its_model(tmp_path):
    async with stage(tmp_path) as play:
        await play.anna.slash(play.general, "model use", model="bob-1")
        other = play.env.create_guild("Reading room")
        quiet = other.create_text_channel("quiet")
        keeper = other.add_member(play.owner.user)
        assert "▶ ada-2" in play.text(await keeper.slash(quiet, "model show"))


async def test_two_models_answer_side_by_side(tmp_path):
    async with stage(tmp_path) as play:
        play.engines["bob-1"]._replies = (TalkalikeError("The model process ended.", hint="See /status."),)
        options = {"prompt": "tea or coffee?", "first": "ada-2", "second": "bob-1"}
        text = play.text(await play.anna.slash(play.general, "model compare", **options))
        board = play.general.last_message
        assert board.jump_url in text
        assert [one.title for one in board.embeds] == ["ada-2", "bob-1"]
        assert "hello there" in board.embeds[0].description and "tea or coffee?" in board.embeds[0].description
        assert "The model process ended." in board.embeds[1].description
        assert is_notice(board, play.bot.user.id)
        same = {**options, "second": "ada-2"}
        assert "same model twice" in play.text(await play.anna.slash(play.general, "model compare", **same))
        assert "admin" in play.text(await play.mona.slash(play.general, "model compare", **options))


async def test_a_comparison_is_filled_in_after_the_commands_answer_expired(tmp_path):
    async with stage(tmp_path, delay=500.0) as play:  # two tokens: about 16 minutes and 40 seconds
        options = {"prompt": "tea or coffee?", "first": "ada-2", "second": "bob-1"}
        await play.anna.slash(play.general, "model compare", **options)
        assert play.general.last_message.embeds[1].description == "…"
        await play.env.advance_time(1001)
        assert all("hello there" in one.description for one in play.general.last_message.embeds)


# --------------------------------------------------------------------------------------------------------- status


async def test_status_tells_model_speed_and_errors(tmp_path):
    async with stage(tmp_path) as play:
        await answered(play)
        play.bot.services.engines.problems["ada-2"] = "restarted after a crash"
        failed = Beginning(
            trigger_id=5,
            channel_id=play.general.id,
            server_id=play.guild.id,
            thread=False,
            asker_id=play.vic.id,
            model="bob-1",
            sampling={},
        )
        reply_id = play.store.call(replies.begin, failed)
        play.store.call(replies.end, reply_id, ReplyState.FAILED, problem="the graphics card was lost")
        elsewhere = play.store.call(
            replies.begin,
            Beginning(
                trigger_id=6,
                channel_id=99,
                server_id=98,
                thread=False,
                asker_id=97,
                model="bob-1",
                sampling={},
            ),
        )
        play.store.call(replies.end, elsewhere, ReplyState.FAILED, problem="on another server")
        text = play.text(await play.vic.slash(play.general, "status"))
        assert "ada-2: writes like Ada" in text and "restarted after a crash" in text
        assert "0 replies being written, 0 waiting" in text and "tokens/s over the last 1 reply" in text
        assert "the graphics card was lost" in text and "on another server" not in text
        assert "on another server" in play.text(await play.owner.slash(play.general, "status"))
        assert "MiB for the bot itself" in text and "up since" in text
        assert "Sorry" in play.text(await play.vic.slash(play.closed, "status"))


# -------------------------------------------------------------------------------------------------------- privacy


async def test_privacy_shows_exports_and_deletes(tmp_path):
    async with stage(tmp_path) as play:
        await answered(play)
        await answered(play, play.mona)
        shown = play.text(await play.vic.slash(play.general, "privacy show"))
        assert "Kept about you" in shown and "after 30 days" in shown
        exported = json.loads(await attached(await play.vic.slash(play.general, "privacy export")))
        assert "what is for tea?" in json.dumps(exported)
        kept = play.store.call(people.count_about, play.vic.id)
        assert "Nothing was deleted" in play.text(await play.vic.slash(play.general, "privacy delete", confirm=False))
        assert play.store.call(people.count_about, play.vic.id) == kept and any(kept.values())
        assert forgotten(play) == []
        assert "Deleted:" in play.text(await play.vic.slash(play.general, "privacy delete", confirm=True))
        assert forgotten(play) == [None], "they may have spoken anywhere"
        assert not any(play.store.call(people.count_about, play.vic.id).values())
        assert any(play.store.call(people.count_about, play.mona.id).values())
        assert "Nothing is kept" in play.text(await play.vic.slash(play.general, "privacy show"))


async def test_privacy_switches(tmp_path):
    async with stage(tmp_path) as play:
        assert "may be used" in play.text(await play.vic.slash(play.general, "privacy training", state="on"))
        assert play.store.call(people.consent, play.vic.id).training
        assert "don't read" in play.text(await play.vic.slash(play.general, "privacy seen", state="off"))
        consent = play.store.call(people.consent, play.vic.id)
        assert consent.training and not consent.seen
        await play.vic.send(play.general, ADDRESS)
        shown = await attached(await play.mona.slash(play.general, "context show"))
        assert "opted out" in shown and ADDRESS not in shown
        assert "I read your messages" in play.text(await play.vic.slash(play.general, "privacy seen", state="on"))
