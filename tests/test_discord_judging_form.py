"""The form under a reply: every scale and a better answer, changes, restarts, and what is given back when it fails."""

from __future__ import annotations

import asyncio

from discord_commands import stage
from discord_judging import answered, attached, correction, form, restart, said, sounds, thumb
from talkalike.chat.permissions import Level, Subject
from talkalike.store.judging import items, judgements, judges, summaries
from talkalike.store.judging.judgement_values import Scale
from talkalike.store.store import StoreError

SCALES = [scale.value for scale in Scale]


async def test_the_form_takes_every_scale_and_a_better_answer(tmp_path):
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        shown = await form(play, play.vic, message, reply_id)
        assert len(shown.modal["components"]) == 5
        inner = [one["component"] for one in shown.modal["components"]]
        assert [one["custom_id"] for one in inner] == [*SCALES, "better"]
        assert all(one["description"] for one in shown.modal["components"]), "hints sit beside the control"
        text = play.text(
            await play.vic.submit_modal(shown, {"sounds_like_me": "4", "helpful": "2", "better": "scones\nand jam 🫖"})
        )
        assert "sounds like them 4 of 5" in text and "helpful 2 of 5" in text and "your better answer" in text
        assert "honest" not in text
        rows = said(play, play.vic, reply_id)
        assert {row.scale: row.value for row in rows if row.scale} == {Scale.SOUNDS_LIKE_ME: 4, Scale.HELPFUL: 2}
        assert correction(play, play.vic, reply_id) == "scones\nand jam 🫖"
        assert {row.face for row in rows} == {"discord"} and all(row.seconds is not None for row in rows)


async def test_the_form_remembers_changes_and_takes_back(tmp_path):
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        await thumb(play, play.vic, message, reply_id, "up")
        shown = await form(play, play.vic, message, reply_id)
        await play.vic.submit_modal(shown, {"sounds_like_me": "5", "honest": "3", "better": "scones"})
        shown = await form(play, play.vic, message, reply_id)
        inner = {one["component"]["custom_id"]: one["component"] for one in shown.modal["components"]}
        chosen = {key: [o["value"] for o in inner[key]["options"] if o.get("default")] for key in SCALES}
        assert chosen == {"sounds_like_me": ["5"], "honest": ["3"], "helpful": [], "harmless": []}
        assert inner["better"]["value"] == "scones"
        text = play.text(await play.vic.submit_modal(shown, {"sounds_like_me": "2", "honest": "0", "better": ""}))
        assert "sounds like them 2 of 5" in text and "Taken back: honest, your better answer" in text
        assert [(row.scale, row.value) for row in said(play, play.vic, reply_id)] == [(Scale.SOUNDS_LIKE_ME, 2)]


async def test_no_rating_is_not_a_low_rating(tmp_path):
    """A peer stored a skip as the same 0 as a no."""
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        shown = await form(play, play.vic, message, reply_id)
        text = play.text(await play.vic.submit_modal(shown, {"sounds_like_me": "0"}))
        assert text == "You chose nothing, so nothing was stored."
        shown = await form(play, play.mona, message, reply_id)
        await play.mona.submit_modal(shown, {"sounds_like_me": "1"})
        [rating] = play.store.call(summaries.ratings)
        assert (rating.n, rating.mean) == (1, 1.0)


async def test_two_people_fill_in_the_same_form_at_once(tmp_path):
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        of_vic = await form(play, play.vic, message, reply_id)
        of_mona = await form(play, play.mona, message, reply_id)
        await play.vic.submit_modal(of_vic, {"sounds_like_me": "1", "better": "vic's"})
        await play.mona.submit_modal(of_mona, {"sounds_like_me": "4", "better": "mona's"})
        assert [sounds(play, one, reply_id) for one in (play.vic, play.mona)] == [1, 4]
        assert [correction(play, one, reply_id) for one in (play.vic, play.mona)] == ["vic's", "mona's"]


async def test_a_form_survives_a_restart(tmp_path):
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        shown = await form(play, play.vic, message, reply_id)
        await restart(play)
        assert "Noted" in play.text(await play.vic.submit_modal(shown, {"harmless": "5"}))
        assert [(row.scale, row.value) for row in said(play, play.vic, reply_id)] == [(Scale.HARMLESS, 5)]


async def test_what_was_typed_comes_back_where_it_cannot_be_kept(tmp_path):
    """A peer dropped the answer and waited in silence."""
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        shown = await form(play, play.vic, message, reply_id)
        await play.vic.context_menu(play.general, "Forget this", message)
        result = await play.vic.submit_modal(shown, {"helpful": "5", "better": "long thoughts"})
        assert "no longer there" in play.text(result) and "Nothing of the form was stored" in play.text(result)
        assert await attached(result) == "long thoughts"
        message, reply_id = await answered(play)
        shown = await form(play, play.vic, message, reply_id)
        play.put(Subject.USER, play.vic.id, level=Level.IGNORED)
        result = await play.vic.submit_modal(shown, {"better": "more thoughts"})
        assert "Sorry" in result.response.content
        [more] = result.followups
        assert more.ephemeral and "Nothing was stored" in more.content
        [file] = more.attachments
        assert await file.read() == b"more thoughts"


async def test_a_form_that_fails_halfway_leaves_nothing(tmp_path, monkeypatch):
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        shown = await form(play, play.vic, message, reply_id)

        def broken(*_, **__):
            raise StoreError("The disk is full.")

        monkeypatch.setattr(judgements, "correct", broken)
        result = await play.vic.submit_modal(shown, {"helpful": "5", "better": "scones"})
        assert "disk is full" in play.text(result)
        monkeypatch.undo()
        assert said(play, play.vic, reply_id) == ()
        assert play.store.call(summaries.totals) == {}


async def test_a_slow_store_is_told_before_discord_gives_up(tmp_path):
    """A peer left people waiting without a word."""
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        rules = play.bot.places.rules

        async def slow(server_id):
            await asyncio.sleep(60)
            return await rules(server_id)

        play.bot.places.rules = slow
        shown = await play.vic.click(message, custom_id=f"talkalike:judge:{reply_id}")
        await play.env.advance_time(2.5)
        assert "busy" in play.text(shown) and "Nothing was stored" in play.text(shown)


async def test_the_longest_answer_is_kept_whole(tmp_path):
    """A peer cut texts without a word."""
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        shown = await form(play, play.vic, message, reply_id)
        longest = "🫖" * 4000
        assert "(4,000 characters)" in play.text(await play.vic.submit_modal(shown, {"better": longest}))
        assert correction(play, play.vic, reply_id) == longest


async def test_an_answer_longer_than_the_form_is_not_lost_by_opening_it(tmp_path):
    async with stage(tmp_path) as play:
        message, reply_id = await answered(play)
        huge = "x" * 100_000
        item = play.store.call(items.of_reply, reply_id, speaker="Ada")
        judge = play.store.call(judges.of_discord, play.vic.id)
        play.store.call(judgements.correct, item, judge.id, huge, face="web")
        shown = await form(play, play.vic, message, reply_id)
        await play.vic.submit_modal(shown, {"helpful": "4"})
        assert correction(play, play.vic, reply_id) == huge
