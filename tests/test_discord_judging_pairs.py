"""Comparing two answers blindly, in private and in a channel an admin chose."""

from __future__ import annotations

import pytest

from discord_commands import stage
from discord_judging import (
    EVERYTHING,
    answered,
    buttons,
    choice,
    judged_stage,
    pair_of,
    press,
    prompts,
    restart,
    vote,
    without,
)
from talkalike.discord_bot.judging import comparison_view
from talkalike.errors import TalkalikeError
from talkalike.replying.writing import today
from talkalike.store import people, replies, scoped, usage
from talkalike.store.judging import comparisons, exchange, judgements, summaries
from talkalike.store.judging.judgement_values import Choice, Comparison, RefusedError, ShownReply, Side
from talkalike.store.store import open_store


async def compared(play, member=None):
    """The answer to "Compare": two answers to what the double was asked."""
    message, reply_id = await answered(play)
    result = await (member or play.vic).context_menu(play.general, "Compare", message)
    return result, reply_id


# ---------------------------------------------------------------------------------------------------------- Compare


async def test_compare_shows_two_answers_without_their_names(tmp_path):
    async with judged_stage(tmp_path) as play:
        result, _ = await compared(play)
        text = play.text(result)
        a, b = result.response.embeds
        assert {a.title, b.title} == {"A", "B"}
        assert "what is for tea?" in a.description
        told = " ".join([text, a.description, b.description])
        assert "hello there" in told and "hi from the twin" in told
        assert not any(name in told for name in ("ada-2", "ada-3", "bob"))
        assert buttons(result.response.message) == [
            [f"talkalike:pair:{pair_of(result.response.message)}:{what}" for what in EVERYTHING],
            [f"talkalike:pair:{pair_of(result.response.message)}:{what}" for what in ("undo", "names")],
        ]
        [asked], [again] = prompts(play, "ada-2"), prompts(play, "ada-3")
        assert asked.turns == again.turns, "the other model sees just what the first one saw"


async def test_which_one_is_a_is_drawn_and_remembered(tmp_path):
    async with judged_stage(tmp_path) as play:
        sides, count = set(), 0
        while len(sides) < 2 and count < 40:
            count += 1
            result, _ = await compared(play)
            a = result.response.embeds[0].description
            sides.add("twin" in a)
            message = result.response.message
            await vote(play, play.vic, message, "left")
            row = play.store.call(judgements.history, pair_id=pair_of(message))[-1]
            names = await vote(play, play.vic, message, "names")
            assert ("A was **ada-3**" in names) == ("twin" in a)
            assert row.choice in (Choice.A, Choice.B)
        assert sides == {True, False}
        standing = {one.model: (one.wins, one.losses) for one in play.store.call(summaries.summary).standings}
        assert standing.keys() == {"ada-2", "ada-3"}
        assert sum(wins for wins, _ in standing.values()) == count


async def test_a_vote_is_changed_taken_back_and_final_once_the_names_are_known(tmp_path):
    """A peer's votes could not be undone, and another's stayed open after the names were shown."""
    async with judged_stage(tmp_path) as play:
        message = (await compared(play))[0].response.message
        pair = pair_of(message)
        assert "Vote first" in await vote(play, play.vic, message, "names")
        assert "nothing to undo" in await vote(play, play.vic, message, "undo")
        assert "Noted: A better" in await vote(play, play.vic, message, "left")
        assert choice(play, play.vic, pair) is Side.LEFT
        assert "Noted: Both bad (it was: A better)" in await vote(play, play.vic, message, "both_bad")
        await restart(play)
        assert "Taken back: Both bad" in await vote(play, play.vic, message, "undo")
        assert choice(play, play.vic, pair) is None
        await vote(play, play.vic, message, "right")
        names = await vote(play, play.vic, message, "names")
        assert "You said: B better" in names and "ada-2" in names and "ada-3" in names
        for what in (*EVERYTHING, "undo"):
            assert "stays as it is" in await vote(play, play.vic, message, what)
        assert choice(play, play.vic, pair) is Side.RIGHT
        assert names == await vote(play, play.vic, message, "names")


async def test_a_skip_is_no_tie(tmp_path):
    async with judged_stage(tmp_path) as play:
        message = (await compared(play))[0].response.message
        assert "counts for neither" in await vote(play, play.vic, message, "skip")
        assert choice(play, play.vic, pair_of(message)) is Choice.SKIP
        found = play.store.call(summaries.summary)
        assert found.totals == {"skip": 1} and all(one.ties == 0 for one in found.standings)


async def test_the_same_model_answers_with_another_seed_where_there_is_no_other(tmp_path):
    async with stage(tmp_path, replies=(("one",), ("two",))) as play:
        play.store.call(scoped.put, "channel", play.general.id, "seed", 7, by=1)
        result, _ = await compared(play)
        told = " ".join(embed.description for embed in result.response.embeds)
        assert "one" in told and "two" in told
        assert play.engines["bob-1"].prompts == [], "Bob's double is somebody else"
        await vote(play, play.vic, result.response.message, "tie")
        [row] = play.store.call(judgements.history, pair_id=pair_of(result.response.message))
        assert row.choice is Choice.TIE
        seeds = [one.sampling["seed"] for one in play.store.call(replies.recent, play.general.id, 5)]
        assert seeds[1] == 7 and seeds[0] != 7


@pytest.mark.parametrize(
    ("twin", "told"),
    [
        ((("hello there",),), "just the same"),
        (((),), "silence"),
        ((TalkalikeError("The model fell over.", hint="Try again."),), "fell over"),
    ],
)
async def test_nothing_is_stored_where_there_is_nothing_to_compare(tmp_path, twin, told):
    async with judged_stage(tmp_path, twin=twin) as play:
        result, _ = await compared(play)
        assert told in play.text(result) and not result.response.embeds
        assert len(play.store.call(replies.recent, play.general.id, 9)) == 1


async def test_a_model_that_is_gone_says_so(tmp_path):
    async with judged_stage(tmp_path) as play:
        message, _ = await answered(play)
        without(play, "ada-3")
        without(play, "ada-2")
        text = play.text(await play.vic.context_menu(play.general, "Compare", message))
        assert "no model left" in text


async def test_comparing_is_paid_from_ones_own_budget(tmp_path):
    async with judged_stage(tmp_path, options={"daily_replies_user": 1}) as play:
        result, _ = await compared(play, play.mona)
        assert result.response.embeds
        assert play.store.call(usage.read_used, play.mona.id, play.guild.id, today()).replies_user == 1
        message = next(one for one in play.general.history() if one.content == "hello there")
        text = play.text(await play.mona.context_menu(play.general, "Compare", message))
        assert "today's 1 reply" in text
        assert len(prompts(play, "ada-3")) == 1


async def test_a_long_answer_is_shown_in_full_in_a_file(tmp_path):
    """A peer cut answers at 1,999 characters without telling whoever judged them."""
    long = " ".join(f"word{n}" for n in range(240)), " ".join(f"more{n}" for n in range(240))
    async with judged_stage(tmp_path, twin=(long,), options={"max_tokens": 4000}) as play:
        result, _ = await compared(play)
        told = [embed.description for embed in result.response.embeds]
        assert any("only the beginning: all of it is in the file" in one for one in told)
        assert sum(len(one) for one in told) < 6000
        [file] = result.response.attachments
        text = (await file.read()).decode()
        assert "\n".join(long) in text and "hello there" in text


def test_a_comparison_fits_whatever_is_written():
    two = Comparison(
        id=1,
        context=(("x" * 100, "y" * 9000),),
        speaker="Ada",
        left=ShownReply(item_id=1, messages=("[a](https://b.example)" * 2000,)),
        right=ShownReply(item_id=2, messages=("@everyone " * 2000,)),
        a_left=True,
    )
    shown = comparison_view.message_of(two)
    assert sum(len(embed) for embed in shown["embeds"]) <= 6000
    assert all(len(embed.description) <= 4096 for embed in shown["embeds"])
    assert "](" not in shown["embeds"][0].description and "@everyone" not in shown["embeds"][1].description
    assert len(shown["files"]) == 1


async def test_answers_to_be_compared_are_forgotten_with_what_they_answered(tmp_path):
    async with judged_stage(tmp_path) as play:
        message, _ = await answered(play)
        shown = (await play.mona.context_menu(play.general, "Compare", message)).response.message
        await vote(play, play.mona, shown, "left")
        await play.mona.slash(play.general, "privacy training", state="on")
        assert play.store.call(exchange.page).lines == ()
        await play.vic.slash(play.general, "privacy training", state="on")
        [line] = play.store.call(exchange.page).lines
        assert "what is for tea?" in line and "hi from the twin" in line
        asked = play.general.history()[0]
        await play.vic.context_menu(play.general, "Forget this", asked)
        assert not any("what is for tea?" in one for one in play.store.call(exchange.page).lines)
        play.store.call(people.forget_server, play.guild.id)
        assert not any("twin" in one for one in play.store.call(exchange.page).lines)


async def test_regenerate_still_finds_the_reply_after_a_comparison(tmp_path):
    async with judged_stage(tmp_path, replies=(("first",), ("second",))) as play:
        message, reply_id = await answered(play)
        await play.vic.context_menu(play.general, "Compare", message)
        await restart(play)
        await press(play, play.vic, message, f"talkalike:again:{reply_id}")
        assert [one.content for one in play.general.history()] == ["what is for tea?", "second"]


def test_votes_are_refused_for_pairs_nobody_knows(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/store.sqlite3") as store:
        for call in ((comparisons.vote, 99, 5, Side.LEFT), (comparisons.show_names, 99, 5)):
            with pytest.raises(RefusedError):
                store.call(*call)
        assert store.call(comparisons.take_back, 99, 5).before is None
