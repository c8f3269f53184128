"""/comprehend, /register_task, /list_tasks and /task on discord.py: tasks by example, and questions about pictures."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from PIL import Image

from discord_commands import stage
from scripted_eyes import AnsweringEye, NamingEye, TalkingEye
from talkalike.chat.looking import Onlooker
from talkalike.chat.permissions import Access, Level, Subject
from talkalike.discord_bot.commands.many_options import LONGEST_DESCRIPTION, MOST_OPTIONS
from talkalike.discord_bot.markers import is_notice
from talkalike.errors import TalkalikeError
from talkalike.options import SAMPLING
from talkalike.pictures.normalising import normalise
from talkalike.store.seeing import tasks
from talkalike.store.seeing.tasks import EVERYBODY, TaskPlace

RED, BLUE, GREEN, GREY = (200, 20, 20), (20, 20, 200), (20, 180, 20), (120, 120, 120)


def png(colour: tuple[int, int, int], name: str = "mug.png", *, width: int = 32) -> tuple[str, bytes]:
    out = io.BytesIO()
    Image.new("RGB", (width, 24), colour).save(out, "PNG")
    return name, out.getvalue()


def hash_of(sent: tuple[str, bytes]) -> str:
    return normalise(sent[1]).hash


@asynccontextmanager
async def tea_room(tmp_path, eye=None, **settings) -> AsyncIterator:
    async with stage(tmp_path, **settings) as play:
        play.bot.services.onlooker = Onlooker(eye) if eye is not None else None
        yield play


async def register(play, who=None, **options):
    given = {"name": "mugs", "template": "<image>Colour:", "stop": "\\n"}
    given |= {"picture1": png(RED), "answer1": "red", "picture2": png(BLUE), "answer2": "blue"}
    return await (who or play.mona).slash(play.general, "register_task", **given | options)


def answers(play):
    return [one for one in play.general.history() if one.embeds and one.author.id == play.bot.user.id]


def fields(message) -> dict[str, str]:
    return {one.name: one.value for one in message.embeds[0].fields}


async def test_a_task_is_registered_by_clicking_used_and_its_answer_says_how(tmp_path):
    eye = TalkingEye(lambda turns: "green\nand more")
    async with tea_room(tmp_path, eye) as play:
        result = await register(play)
        text = play.text(result)
        assert f"The task 'mugs' of server {play.guild.id} has its version 1, with 2 examples." in text
        form = await play.mona.click(result.response, label="Add an example")
        added = await play.mona.submit_modal(form, {"picture": png(GREY), "answer": "grey"})
        assert "version 2, with 3 examples" in play.text(added)
        asked = await play.vic.slash(play.general, "comprehend", image=png(GREEN), task="mugs", temperature=0.5, seed=7)
        (message,) = answers(play)
        assert message.jump_url in play.text(asked)
        assert message.embeds[0].description == "green"  # the task's stop ends it
        told = fields(message)
        assert told["Prompt"] == "<image>Colour:"
        assert "task mugs@2" in told["How"] and "3 of 3 examples" in told["How"] and "talking eye" in told["How"]
        assert is_notice(message, play.bot.user.id)  # no conversation holds it
        (picture,) = message.attachments
        assert normalise(await picture.read()).width == 32
        shown = [part for turn in eye.turns[0] for part in turn.parts if not isinstance(part, str)]
        assert [one.hash for one in shown] == [hash_of(png(one)) for one in (RED, BLUE, GREY, GREEN)]
        assert (eye.samplings[0].temperature, eye.samplings[0].seed) == (0.5, 7)
        assert eye.samplings[0].top_p == SAMPLING["top_p"].default  # what nobody set is as the place has it
        older = await play.vic.slash(play.general, "comprehend", image=png(GREEN), task="mugs@1", prompt="Colour?")
        assert "The answer:" in play.text(older)
        told = fields(answers(play)[-1])
        assert "task mugs@1" in told["How"] and "<image> was put in front of it" in told["How"]


async def test_every_option_of_a_reply_is_an_option_and_discord_takes_them_all(tmp_path):
    async with tea_room(tmp_path) as play:
        by_name = {one.name: one for one in play.bot.tree.get_commands()}
        offered = {one.name: one for one in by_name["comprehend"].parameters}
        assert set(SAMPLING) < set(offered)
        for key, option in SAMPLING.items():
            assert (offered[key].min_value, offered[key].required) == (option.low, False)
            assert offered[key].max_value == min(option.high, 2**53 - 1)
        group = [by_name["task"].get_command(name) for name in ("show", "edit", "remove", "score")]
        for command in (by_name["comprehend"], by_name["register_task"], *group):
            assert len(command.parameters) <= MOST_OPTIONS
            assert all(0 < len(str(one.description)) <= LONGEST_DESCRIPTION for one in command.parameters)
        assert sum(one.name.startswith("picture") for one in by_name["register_task"].parameters) == 9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prompt": "<image> or <image>?"}, "There is 1 picture, but the prompt has 2 <image>."),
        ({"task": "mogs"}, "There is no task 'mogs' here."),
        ({"task": "mugs@9"}, "The task 'mugs' has no version 9."),
        ({"task": "my task"}, "is no name for a task"),
        ({"image": ("notes.png", b"hello")}, "notes.png: This file is no picture that can be read."),
        ({"image": ("photo.jpg", b"\0\0\0\x18ftypheic" + b"\0" * 20)}, "HEIC"),
    ],
)
async def test_what_cannot_be_asked_is_told_in_a_sentence(tmp_path, options, said):
    async with tea_room(tmp_path, AnsweringEye(lambda picture, ask: "red")) as play:
        await register(play)
        told = play.text(await play.vic.slash(play.general, "comprehend", **{"image": png(GREEN), **options}))
        assert said in told and "\n" not in told
        assert answers(play) == []  # nothing is seen by others


async def test_no_eye_an_eye_that_is_gone_and_a_budget_that_is_used_up(tmp_path):
    async with tea_room(tmp_path) as play:
        asked = {"image": png(GREEN)}
        assert "I have no eye here" in play.text(await play.vic.slash(play.general, "comprehend", **asked))
        play.bot.services.onlooker = Onlooker(None)
        assert "I have no eye here" in play.text(await play.vic.slash(play.general, "comprehend", **asked))

        def gone(picture, ask):
            raise TalkalikeError("http://10.0.0.7:9000/v1 does not answer.")

        play.bot.services.onlooker = Onlooker(AnsweringEye(gone))
        told = play.text(await play.vic.slash(play.general, "comprehend", **asked))
        assert "The eye can't be reached right now." in told and "10.0.0.7" not in told
        play.bot.services.onlooker = Onlooker(AnsweringEye(lambda picture, ask: "green"))
        await play.owner.slash(play.general, "settings set", key="daily_replies_user", value="1", scope="server")
        assert "The answer:" in play.text(await play.vic.slash(play.general, "comprehend", **asked))
        assert "today" in play.text(await play.vic.slash(play.general, "comprehend", **asked))
        assert len(answers(play)) == 1


async def test_an_eye_that_only_names_is_asked_once_for_each_example_and_the_double_answers(tmp_path):
    words = {hash_of(png(RED)): "a red mug", hash_of(png(GREEN)): "a green mug @everyone"}
    eye = NamingEye(words)
    async with tea_room(tmp_path, eye, replies=(("greenish @everyone",),)) as play:
        await register(play)
        for _ in range(2):
            await play.vic.slash(play.general, "comprehend", image=png(GREEN), task="mugs")
        looked = [hash_ for hash_, _ in eye.looked]
        assert looked.count(hash_of(png(RED))) == 1  # its words are kept
        assert looked.count(hash_of(png(GREEN))) == 2  # the picture asked about is not kept
        prompt = play.engines["ada-2"].prompts[-1]
        assert "[picture: a red mug]" in prompt.turns[0].text
        message = answers(play)[-1]
        assert "@everyone" not in message.embeds[0].description and "greenish" in message.embeds[0].description
        assert "ada-2 read a description by small eye; it did not see the picture." in fields(message)["How"]


async def test_who_may_and_whose_tasks_they_are(tmp_path):
    eye = AnsweringEye(lambda picture, ask: "red")
    async with tea_room(tmp_path, eye, dm_access="open") as play:
        assert "Sorry" in play.text(await register(play, play.vic))
        assert "Sorry" in play.text(await play.iggy.slash(play.general, "comprehend", image=png(RED)))
        await register(play)
        assert "already" in play.text(await register(play))
        play.put(Subject.DM, 0, server_id=0, access=Access.OPEN)
        user = play.vic.user
        result = await user.slash("register_task", name="mugs", picture1=png(GREY), answer1="mine")
        assert "of one person's direct messages has its version 1" in play.text(result)
        stored = play.store.call(tasks.find, TaskPlace(owner_id=play.vic.id), "mugs")
        assert [shot.output for shot in stored.spec.shots] == ["mine"] and stored.by == play.vic.id
        listed = play.text(await user.slash("list_tasks"))
        assert "**mugs@1** (yours): 1 example" in listed and "this server's" not in listed
        assert "(this server's): 2 examples" in play.text(await play.vic.slash(play.general, "list_tasks"))
        offered = await play.vic.autocomplete(play.general, "comprehend", "task", "mu")
        assert [one["value"] for one in offered] == ["mugs"]
        assert await play.iggy.autocomplete(play.general, "comprehend", "task", "mu") == []
        assert await play.vic.autocomplete(play.general, "task edit", "name", "") == []
        assert [one["value"] for one in await play.mona.autocomplete(play.general, "task edit", "name", "")] == ["mugs"]


async def test_a_task_is_shown_changed_and_removed(tmp_path):
    async with tea_room(tmp_path, AnsweringEye(lambda picture, ask: "red")) as play:
        await register(play, instruction="Name the colour.")
        edited = await play.mona.slash(
            play.general,
            "task edit",
            name="mugs",
            drop="1",
            answer1="none of them",
            instruction="none",
            selection="newest",
        )
        assert "version 2, with 2 examples" in play.text(edited)
        shown = await play.vic.slash(play.general, "task show", name="mugs")
        text = play.text(shown)
        assert "Instruction: none" in text and "An answer ends at: `\\n`" in text and "(newest)" in text
        assert "1. blue" in text and "2. (words alone) none of them" in text and "Versions: 2 (" in text
        assert [one.filename for one in shown.response.attachments] == ["example-1.jpg"]
        refused = (
            ({"name": "mugs", "drop": "7"}, "The task 'mugs' has no example 7."),
            ({"name": "mugs", "drop": "x"}, "'x' is no number of an example."),
            ({"name": "mugs"}, "Nothing was to be changed."),
            ({"name": "mugs", "template": "Colour:"}, "it has no <image>"),
            ({"name": "mugs", "picture3": png(GREY)}, "Example 3 has no answer."),
            ({"name": "mugs", "drop": "1 2"}, "The task 'mugs' has no examples."),
            ({"name": "read", "stop": "x"}, "is there from the start and cannot be edited here"),
        )
        for options, said in refused:
            assert said in play.text(await play.mona.slash(play.general, "task edit", **options)), options
        remove = {"name": "mugs"}
        assert "Nothing was removed" in play.text(
            await play.mona.slash(play.general, "task remove", confirm=False, **remove)
        )
        assert "is gone" in play.text(await play.mona.slash(play.general, "task remove", confirm=True, **remove))
        assert "There is no task 'mugs'" in play.text(await play.vic.slash(play.general, "task show", name="mugs"))


async def test_a_form_that_comes_late_changes_nothing_it_did_not_see(tmp_path):
    async with tea_room(tmp_path) as play:
        result = await register(play)
        one, other = [await play.mona.click(result.response, label="Add an example") for _ in range(2)]
        for form, answer in ((one, "first"), (other, "second")):
            await play.mona.submit_modal(form, {"picture": png(GREY), "answer": answer})
        stored = play.store.call(tasks.find, TaskPlace(server_id=play.guild.id), "mugs")
        assert [shot.output for shot in stored.spec.shots] == ["red", "blue", "first", "second"]
        late = await play.mona.click(result.response, label="Add an example")
        await play.mona.slash(play.general, "task remove", name="mugs", confirm=True)
        told = play.text(await play.mona.submit_modal(late, {"picture": png(GREY), "answer": "x"}))
        assert "There is no task 'mugs' here." in told
        play.put(Subject.USER, play.mona.id, level=Level.VISIBLE)
        assert "Sorry" in play.text(await play.mona.click(result.response, label="Add an example"))


async def test_a_long_list_has_pages(tmp_path):
    async with tea_room(tmp_path) as play:
        for number in range(8):
            await register(play, name=f"task-{number}", picture2=png(RED))
        first = await play.vic.slash(play.general, "list_tasks")
        assert "page 1 of 2" in play.text(first) and "**caption**" in first.response.content
        await play.vic.click(first.response, label="Next")
        assert "page 2 of 2" in first.response.content and "**unconditional**" in first.response.content


async def test_a_score_is_posted_and_kept(tmp_path):
    def answer(turns):
        return "red"

    async with tea_room(tmp_path, TalkingEye(answer)) as play:
        await register(play)
        assert "Sorry" in play.text(await play.mona.slash(play.general, "task score", name="mugs"))
        few = play.text(await play.anna.slash(play.general, "task score", name="mugs"))
        assert "Nothing can be said yet" in few
        for start in (3, 8):
            colours = [(start * 9, number * 19, 90 - number) for number in range(5)]
            given = {f"picture{n}": png(colour) for n, colour in enumerate(colours, start=1)}
            given |= {f"answer{n}": "red" if n % 2 else "blue" for n in range(1, 6)}
            await play.mona.slash(play.general, "task edit", name="mugs", **given)
        began = play.text(await play.anna.slash(play.general, "task score", name="mugs"))
        await play.env.settle()
        message = answers(play)[-1]
        assert message.jump_url in began
        words = message.embeds[0].description
        assert "**Card**: 12 examples asked about, with talking eye" in words and "shuffled labels" in words
        assert "The examples teach at most the form of an answer" in words
        (file,) = message.attachments
        assert (await file.read()).startswith(b"<svg")
        shown = await play.vic.slash(play.general, "task show", name="mugs")
        assert "**Card**: 12 examples" in play.text(shown)
        assert "they add" in play.text(await play.vic.slash(play.general, "list_tasks"))


async def test_everybodys_tasks_are_behind_the_servers(tmp_path):
    eye = AnsweringEye(lambda picture, ask: ask)
    async with tea_room(tmp_path, eye) as play:
        await register(play)
        server = play.store.call(tasks.find, TaskPlace(server_id=play.guild.id), "mugs")
        spec = replace(server.spec, name="cups", instruction="for all")
        play.store.call(tasks.register, EVERYBODY, spec, {}, by=0)
        play.store.call(tasks.register, EVERYBODY, replace(spec, name="mugs"), {}, by=0)
        await play.vic.slash(play.general, "comprehend", image=png(GREEN), task="cups")
        assert "for all" in answers(play)[-1].embeds[0].description
        await play.vic.slash(play.general, "comprehend", image=png(GREEN), task="mugs")
        assert "for all" not in answers(play)[-1].embeds[0].description
        told = play.text(await play.mona.slash(play.general, "task edit", name="cups", stop="x"))
        assert "is for everybody and cannot be edited here" in told
