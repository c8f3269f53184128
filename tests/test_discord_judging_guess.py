"""/guess: the friends' blind test, played by buttons."""

from __future__ import annotations

from discord_commands import stage
from discord_judging import buttons, restart
from talkalike.store.judging import guesses, judges, summaries
from talkalike.store.judging.guesses import Writing

TALK = [("Grace Hopper", "did you fix the compiler, Ada?"), ("Ada", "yes"), ("Grace Hopper", "show me")]


def made_round(play, count=3, *, server_id=None, long=""):
    """A blind test about Ada, with the double and the base model as the other side."""

    def make():
        round_id = guesses.make_round("Friday", server_id=server_id)
        for n in range(count):
            guesses.add_question(
                round_id,
                [*TALK, ("Grace Hopper", f"number {n} {long}")],
                "Ada",
                real=Writing(messages=(f"real {n}",)),
                other=Writing(messages=(f"fake {n}",), model="ada-2", arm="double" if n % 2 else "base"),
            )
        return round_id

    return play.store.call(make)


async def begin(play, member):
    """The first question, after agreeing."""
    result = await member.slash(play.general, "guess")
    assert "By pressing Play you agree" in play.text(result)
    [[play_button]] = buttons(result.response.message)
    return await member.click(result.response.message, custom_id=play_button)


async def take(play, member, shown, wanted):
    """Takes the side whose text begins with `wanted` for the real one."""
    sides = {embed.title: embed.description for embed in shown.response.embeds}
    side = next(title for title in ("A", "B") if sides[title].startswith(wanted))
    message = shown.response.message
    return await member.click(message, custom_id=buttons(message)[0]["AB".index(side)])


async def test_a_whole_test_is_played(tmp_path):
    async with stage(tmp_path) as play:
        round_id = made_round(play)
        shown = await begin(play, play.vic)
        talk = shown.response.embeds[0].description
        assert "Grace" not in talk and "Friend 1: number" in talk and "Ada" in talk
        assert "ada-2" not in str([embed.to_dict() for embed in shown.response.embeds])
        shown = await take(play, play.vic, shown, "real")
        assert play.text(shown).startswith("Right: ")
        await restart(play)
        shown = await take(play, play.vic, shown, "fake")
        assert play.text(shown).startswith("No: ") and "real one" in play.text(shown)
        done = await take(play, play.vic, shown, "fake")
        text = play.text(done)
        assert text.startswith("No: ") and "That was all" in text and "95 %" in text
        found = play.store.call(guesses.results, round_id)
        assert sum(one.taken_for_real.n for one in found) == 3 and sum(one.taken_for_real.count for one in found) == 2
        assert "nothing" not in text
        assert "no blind test with anything left" in play.text(await play.vic.slash(play.general, "guess"))
        assert play.store.call(summaries.totals) == {}, "a guess is no judgement of a model"


async def test_everybody_guesses_for_themselves_and_the_first_guess_stays(tmp_path):
    async with stage(tmp_path) as play:
        round_id = made_round(play, 1)
        of_vic, of_mona = await begin(play, play.vic), await begin(play, play.mona)
        assert play.text(await take(play, play.vic, of_vic, "fake")).startswith("No")
        assert play.text(await take(play, play.vic, of_vic, "real")).startswith("No"), "told already"
        assert play.text(await take(play, play.mona, of_mona, "real")).startswith("Right")
        [result] = play.store.call(guesses.results, round_id)
        assert (result.taken_for_real.count, result.taken_for_real.n) == (1, 2)


async def test_nothing_is_kept_before_somebody_agrees(tmp_path):
    async with stage(tmp_path) as play:
        made_round(play)
        await play.vic.slash(play.general, "guess")
        assert "guesses" not in play.text(await play.vic.slash(play.general, "privacy show"))
        assert play.store.call(guesses.results) == ()
        shown = await begin(play, play.vic)
        await take(play, play.vic, shown, "real")
        again = await play.vic.slash(play.general, "guess")
        assert "Which one did Ada really write?" in play.text(again), "who agreed goes on where they were"
        assert "guesses: 1" in play.text(await play.vic.slash(play.general, "privacy show"))
        assert not play.store.call(judges.of_discord, play.vic.id).consent, "agreeing to play is not to train"


async def test_a_test_that_ends_meanwhile_tells_so_and_keeps_what_was_guessed(tmp_path):
    async with stage(tmp_path) as play:
        round_id = made_round(play)
        shown = await begin(play, play.vic)
        after = await take(play, play.vic, shown, "real")
        play.store.call(guesses.set_open, round_id, False)
        assert "over" in play.text(await take(play, play.vic, after, "real"))
        assert sum(one.taken_for_real.n for one in play.store.call(guesses.results, round_id)) == 1
        assert "no blind test" in play.text(await play.mona.slash(play.general, "guess"))


async def test_a_test_of_another_server_is_not_played_here(tmp_path):
    async with stage(tmp_path) as play:
        made_round(play, server_id=12345)
        assert "no blind test" in play.text(await play.vic.slash(play.general, "guess"))
        made_round(play, server_id=play.guild.id)
        assert "Play" in play.text(await play.vic.slash(play.general, "guess"))
        assert "Sorry" in play.text(await play.iggy.slash(play.general, "guess"))
        assert "Sorry" in play.text(await play.vic.slash(play.closed, "guess"))


async def test_a_long_conversation_is_in_the_file(tmp_path):
    async with stage(tmp_path) as play:
        made_round(play, 1, long="word " * 1000 + "END")
        shown = await begin(play, play.vic)
        talk = shown.response.embeds[0].description
        assert talk.endswith("END") and "only the end: all of it is in the file" in talk
        [file] = shown.response.attachments
        text = (await file.read()).decode()
        assert "did you fix the compiler" in text and "Grace" not in text and "real 0" in text
