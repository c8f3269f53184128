"""The thumbs under a reply: whose vote it is, changing, undoing, restarts; and what is kept of whom."""

from __future__ import annotations

import discord
import pytest

from discord_commands import stage
from discord_judging import answered, attached, buttons, form, press, restart, said, sounds, thumb
from talkalike.chat.permissions import Access, Subject
from talkalike.discord_bot.commands import MOST_MENUS
from talkalike.store import people, replies, scoped
from talkalike.store.judging import exchange, items, judgements, judges, summaries
from talkalike.store.judging.judgement_values import Type
from talkalike.store.replies import Beginning
from talkalike.store.store import StoreError

# ------------------------------------------------------------------------------------------------------ the buttons


async def test_the_buttons_sit_in_one_row_under_the_last_message(tmp_path):
    async with stage(tmp_path, replies=(("one", "two"),)) as play:
        last, reply_id = await answered(play)
        first = play.general.history()[-2]
        assert (first.content, last.content) == ("one", "two")
        assert buttons(first) == []
        assert buttons(last) == [
            [
                f"talkalike:again:{reply_id}",
                f"talkalike:why:{reply_id}",
                f"talkalike:rate:{reply_id}:up",
                f"talkalike:rate:{reply_id}:down",
                f"talkalike:judge:{reply_id}",
            ]
        ]


async def test_a_place_may_be_without_them(tmp_path):
    async with stage(tmp_path) as play:
        await play.mona.slash(play.general, "settings set", key="judging", value="off")
        last, reply_id = await answered(play)
        assert buttons(last) == [[f"talkalike:again:{reply_id}", f"talkalike:why:{reply_id}"]]
        play.store.call(scoped.put, "channel", play.general.id, "judging", True, by=1)
        last, reply_id = await answered(play)
        assert len(buttons(last)[0]) == 5


async def test_exactly_two_menus_were_added(tmp_path):
    async with stage(tmp_path) as play:
        menus = [one.name for one in play.bot.tree.get_commands(type=discord.AppCommandType.message)]
        assert sorted(menus) == ["Compare", "Forget this", "Judge this", "Regenerate", "Why this reply?"]
        assert len(menus) == MOST_MENUS


# ---------------------------------------------------------------------------------------------------------- thumbs


async def test_a_thumb_is_a_rating_that_can_be_changed_and_taken_back(tmp_path):
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        assert sounds(play, play.vic, reply_id) is None
        text = await thumb(play, play.vic, message, reply_id, "up")
        assert text.startswith("Noted") and "sounds like Ada" in text and "/privacy training on" in text
        assert sounds(play, play.vic, reply_id) == 5
        text = await thumb(play, play.vic, message, reply_id, "down")
        assert text.startswith("Changed (it was 5 of 5)") and "/privacy" not in text
        assert sounds(play, play.vic, reply_id) == 1, "down is a low rating, not none"
        assert (await thumb(play, play.vic, message, reply_id, "down")).startswith("Taken back")
        assert said(play, play.vic, reply_id) == ()
        item = play.store.call(items.of_reply, reply_id)
        assert len(play.store.call(judgements.history, item_id=item)) == 2, "nothing was overwritten"
        assert play.store.call(summaries.totals) == {}


async def test_a_bystander_votes_on_the_reply_that_was_pressed_and_locks_nobody_out(tmp_path):
    """A peer filed the vote under the voter's own talk, and took the buttons away after the first vote."""
    async with stage(tmp_path) as play:
        of_vic, first = await answered(play, play.vic)
        _, second = await answered(play, play.mona, "and for supper?")
        await thumb(play, play.anna, of_vic, first, "up")
        await thumb(play, play.mona, of_vic, first, "down")
        await thumb(play, play.vic, of_vic, first, "up")
        assert [sounds(play, one, first) for one in (play.anna, play.mona, play.vic)] == [5, 1, 5]
        assert [sounds(play, one, second) for one in (play.anna, play.mona, play.vic)] == [None, None, None]
        await thumb(play, play.mona, of_vic, first, "down")
        assert [sounds(play, one, first) for one in (play.anna, play.mona, play.vic)] == [5, None, 5]
        assert len(buttons(play.general.history()[1])[0]) == 5
        item = play.store.call(items.item, play.store.call(items.of_reply, first))
        assert item.origin == "discord" and item.model == "ada-2" and item.speaker == "Ada"
        assert item.messages == ("hello there",) and item.context[-1] == ("vic", "what is for tea?")


async def test_thumbs_work_after_a_restart_and_much_later(tmp_path):
    """A peer's buttons timed out."""
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        await thumb(play, play.vic, message, reply_id, "up")
        await restart(play)
        await play.env.advance_time(1200)  # an interaction lives for 900 seconds
        await thumb(play, play.mona, message, reply_id, "down")
        assert (await thumb(play, play.vic, message, reply_id, "down")).startswith("Changed (it was 5 of 5)")
        assert [sounds(play, one, reply_id) for one in (play.vic, play.mona)] == [1, 1]


async def test_no_receipt_without_a_vote_in_the_database(tmp_path):
    """A peer said it was sending the vote and only logged it."""
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        run = play.store.run

        async def full(function, *values, **more):
            if function.__name__ == "press_thumb":
                raise StoreError("Writing to the database failed: disk full.")
            return await run(function, *values, **more)

        play.store.run = full
        text = await thumb(play, play.vic, message, reply_id, "up")
        assert "disk full" in text and "Noted" not in text
        play.store.run = run
        assert sounds(play, play.vic, reply_id) is None
        assert "Noted" in await thumb(play, play.vic, message, reply_id, "up")
        assert sounds(play, play.vic, reply_id) == 5


async def test_who_may_judge(tmp_path):
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        assert "Sorry" in await thumb(play, play.iggy, message, reply_id, "up")
        shown = await play.iggy.click(message, custom_id=f"talkalike:judge:{reply_id}")
        assert shown.modal is None and "Sorry" in play.text(shown) and "ignored" in play.text(shown)
        judge = play.store.call(judges.of_discord, play.vic.id)
        play.store.call(judges.set_blocked, judge.id, True)
        assert "shut out" in await thumb(play, play.vic, message, reply_id, "up")
        play.store.call(judges.set_blocked, judge.id, False)
        play.put(Subject.CHANNEL, play.general.id, access=Access.CLOSED)
        assert "Sorry" in await thumb(play, play.vic, message, reply_id, "up")
        assert sounds(play, play.vic, reply_id) is None and sounds(play, play.iggy, reply_id) is None


async def test_a_reply_that_is_gone_or_still_written_is_refused(tmp_path):
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        await play.vic.context_menu(play.general, "Forget this", message)
        assert "no longer there" in await thumb(play, play.vic, message, reply_id, "up")
        message, reply_id = await answered(play)
        play.store.call(people.forget_server, play.guild.id)
        play.put(Subject.CHANNEL, play.general.id, access=Access.MENTION)
        assert "no longer know that reply" in await thumb(play, play.vic, message, reply_id, "up")
        message, _ = await answered(play)
        beginning = Beginning(
            trigger_id=5, channel_id=play.general.id, server_id=play.guild.id, thread=False, asker_id=1, model="m",
            sampling={},
        )  # fmt: skip
        writing = play.store.call(replies.begin, beginning)
        play.store.call(replies.note_sent, writing, message.id, "half", 0)
        told = play.text(await play.vic.context_menu(play.general, "Judge this", message))
        assert "still writing" in told and "Nothing was stored" in told


# ------------------------------------------------------------------------------------------------- whose reply it is


async def test_only_the_doubles_own_replies_are_judged(tmp_path):
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        shown = await play.mona.context_menu(play.general, "Judge this", message)
        assert "Noted" in play.text(await play.mona.submit_modal(shown, {"helpful": "3"}))
        assert [row.value for row in said(play, play.mona, reply_id)] == [3]
        theirs = await play.vic.send(play.general, "my own words")
        for menu in ("Judge this", "Compare"):
            text = play.text(await play.mona.context_menu(play.general, menu, theirs))
            assert "Only my own replies can be judged" in text and "Nothing was stored" in text


async def test_the_words_are_for_training_only_with_the_askers_consent(tmp_path):
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        await thumb(play, play.mona, message, reply_id, "up")

        def for_training():
            return exchange.page().lines

        assert play.store.call(for_training) == ()
        await play.mona.slash(play.general, "privacy training", state="on")
        assert not any("what is for tea?" in line for line in play.store.call(for_training))
        await play.vic.slash(play.general, "privacy training", state="on")
        [line] = play.store.call(for_training)
        assert "what is for tea?" in line and "hello there" in line
        await play.vic.slash(play.general, "privacy training", state="off")
        assert not any("what is for tea?" in line for line in play.store.call(for_training))


async def test_privacy_shows_exports_and_deletes_judgements(tmp_path):
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        shown = await form(play, play.vic, message, reply_id)
        await play.vic.submit_modal(shown, {"helpful": "2", "better": "only for me"})
        await thumb(play, play.mona, message, reply_id, "up")
        assert "judgements: 2" in play.text(await play.vic.slash(play.general, "privacy show"))
        assert "only for me" in await attached(await play.vic.slash(play.general, "privacy export"))
        text = play.text(await play.vic.slash(play.general, "privacy delete", confirm=True))
        assert "2 judgements" in text
        assert "judgements" not in play.text(await play.vic.slash(play.general, "privacy show"))
        assert play.store.call(summaries.totals) == {Type.RATING.value: 1}
        assert sounds(play, play.mona, reply_id) == 5


@pytest.mark.parametrize("way", ["up", "down"])
async def test_judging_in_direct_messages(tmp_path, way):
    async with stage(tmp_path) as play:
        play.put(Subject.DM, 0, server_id=0, access=Access.OPEN)
        await play.vic.send_dm("hello")
        await play.env.advance_time(5)
        message = play.vic.user.dm_channel.history()[-1]
        [row] = play.store.call(replies.recent, message.channel.id, 5)
        result = await play.vic.user.click(message, custom_id=f"talkalike:rate:{row.id}:{way}")
        assert "Noted" in play.text(result)
        assert sounds(play, play.vic, row.id) == (5 if way == "up" else 1)


async def test_regenerating_moves_the_buttons_to_the_new_reply(tmp_path):
    async with stage(tmp_path, replies=(("first try",), ("second try",))) as play:
        message, reply_id = await answered(play)
        await thumb(play, play.vic, message, reply_id, "down")
        await press(play, play.vic, message, f"talkalike:again:{reply_id}")
        newest = play.general.history()[-1]
        [row] = [button for button in buttons(newest)[0] if button.endswith(":up")]
        new_id = int(row.split(":")[2])
        assert newest.content == "second try" and new_id != reply_id
        await thumb(play, play.vic, newest, new_id, "up")
        assert sounds(play, play.vic, new_id) == 5
