"""Blind comparisons of two models in a channel an admin chose."""

from __future__ import annotations

from discord_judging import (
    TWIN,
    answered,
    choice,
    judged_stage,
    offered,
    pair_after_reply,
    pair_of,
    prompts,
    restart,
    until,
    vote,
    without,
)
from talkalike.errors import TalkalikeError
from talkalike.store import replies
from talkalike.store.judging.judgement_values import Choice, Side


async def test_an_admins_channel_gets_a_pair_after_every_so_many_replies(tmp_path):
    async with judged_stage(tmp_path) as play:
        assert await offered(play, every=2) is None
        await answered(play)
        shown = await pair_after_reply(play)
        assert [one.id for one in play.general.history() if one.embeds] == [shown.id], "none after the first reply"
        assert [embed.title for embed in shown.embeds] == ["A", "B"]
        assert "ada-" not in str([embed.to_dict() for embed in shown.embeds]) + shown.content
        before = len(prompts(play, "ada-2"))
        await answered(play)
        assert len(prompts(play, "ada-2")) == before + 1, "the pair is no part of the conversation"
        assert not any("hi from the twin" in turn.text for turn in prompts(play, "ada-2")[-1].turns)
        assert "after every 2 replies" in play.text(await play.vic.slash(play.general, "judge compare-channel show"))
        play.text(await play.anna.slash(play.general, "judge compare-channel off"))
        count = len(play.general.history())
        await answered(play)
        await answered(play)
        assert len(play.general.history()) == count + 4
        assert "Nothing is compared" in play.text(await play.vic.slash(play.general, "judge compare-channel show"))


async def test_everybody_votes_for_themselves_on_a_pair_in_a_channel(tmp_path):
    """A peer's bystanders were misfiled or refused, and the first vote closed the buttons."""
    async with judged_stage(tmp_path) as play:
        first = await offered(play)
        second = await pair_after_reply(play, play.mona)
        one, two = pair_of(first), pair_of(second)
        assert one != two
        await restart(play)
        for member, what in ((play.vic, "left"), (play.mona, "right"), (play.adam, "tie"), (play.anna, "both_bad")):
            assert "Noted" in await vote(play, member, first, what)
        assert "Sorry" in await vote(play, play.iggy, first, "left")
        assert "names" in await vote(play, play.vic, first, "left")
        await vote(play, play.vic, first, "names")
        assert "Taken back" in await vote(play, play.mona, first, "undo"), "others' votes are still open"
        found = [choice(play, member, one) for member in (play.vic, play.mona, play.adam, play.anna)]
        assert found == [Side.LEFT, None, Choice.TIE, Choice.BOTH_BAD]
        assert [choice(play, member, two) for member in (play.vic, play.mona)] == [None, None]


async def test_only_admins_choose_the_channel_and_wrong_models_are_refused(tmp_path):
    async with judged_stage(tmp_path) as play:
        names = {"first": "ada-2", "second": "ada-3"}
        assert "Sorry" in play.text(await play.mona.slash(play.general, "judge compare-channel set", **names))
        assert "Sorry" in play.text(
            await play.mona.slash(play.general, "settings set", key="compare_models", value="ada-2|ada-3")
        )
        for wrong, told in (
            ({"second": "nobody"}, "no model 'nobody'"),
            ({"second": "ada-2"}, "twice"),
            ({"second": "bob-1"}, "same person"),
        ):
            command = await play.anna.slash(play.general, "judge compare-channel set", **{**names, **wrong})
            assert told in play.text(command)
        assert "Nothing is compared" in play.text(await play.vic.slash(play.general, "judge compare-channel show"))
        assert "Write first|second" in play.text(
            await play.anna.slash(play.general, "settings set", key="compare_models", value="ada-2|ada-2")
        )


async def test_a_compared_model_that_disappears_stops_no_reply(tmp_path, caplog):
    async with judged_stage(tmp_path) as play:
        shown = await offered(play)
        without(play, TWIN.model)
        message, _ = await answered(play)
        assert message.content == "hello there" and play.general.history()[-1].id == message.id
        assert await until(lambda: "No pair was offered" in caplog.text)
        assert "Not at the moment" in play.text(await play.vic.slash(play.general, "judge compare-channel show"))
        assert "Noted" in await vote(play, play.vic, shown, "left"), "what was offered can be judged"


async def test_a_failing_model_offers_nothing(tmp_path, caplog):
    twin = (TalkalikeError("The model fell over.", hint="Try again."),)
    async with judged_stage(tmp_path, twin=twin) as play:
        set_ = {"first": "ada-2", "second": "ada-3", "every": 1}
        await play.anna.slash(play.general, "judge compare-channel set", **set_)
        message, _ = await answered(play)
        assert await until(lambda: "fell over" in caplog.text)
        await play.env.settle()
        assert play.general.history()[-1].id == message.id
        assert len(play.store.call(replies.recent, play.general.id, 9)) == 1
