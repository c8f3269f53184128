"""Filling a blind test from held-out moments: which moments, who answers, what is stored and what is left out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from talkalike.alignment.heldout_prompts import TURNS, ModelArm, ReplySources, answer_prompts, choose_prompts
from talkalike.cli.guessing import store_round
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.engine.scripted import ScriptedEngine
from talkalike.errors import UserError
from talkalike.examples.heldout import ReferenceReply
from talkalike.examples.reactions import SIGN
from talkalike.examples.render import Turn
from talkalike.store.store import Store
from talkalike.workspace.cards import Card
from talkalike.workspace.paths import WorkspacePaths

pytest_plugins = ("website_site",)


def moment(number: int, *, said: tuple[str, ...] = (), speaker: str = "Anna", turns: int = 3) -> ReferenceReply:
    context = tuple(Turn(("Ben", "Cleo")[i % 2], f"moment {number} turn {i}, Dora") for i in range(turns))
    said = said or (f"a real reply {number}", SIGN + "👍")
    return ReferenceReply(conversation=f"c{number}", context=context, speaker=speaker, messages=said, sent_ms=number)


def arm(name: str, *, lead: tuple[Turn, ...] = ()) -> ModelArm:
    card = Card(name=f"the-{name}", kind="adapter", created="2026-01-01T00:00:00+00:00")
    return ModelArm(name=name, card=card, lead=lead)


def test_moments_are_the_persons_long_enough_and_drawn_by_the_seed() -> None:
    replies = [moment(n, turns=30) for n in range(20)]
    replies += [moment(50, said=("ok",)), moment(51, speaker="Ben"), moment(52, said=(SIGN + "👍",))]
    chosen = choose_prompts(replies, "Anna", 8, seed=4)
    assert len(chosen) == 8 and {reply.speaker for reply in chosen} == {"Anna"}
    assert all(len(reply.context) == TURNS and reply.context[-1].text.endswith("turn 29, Dora") for reply in chosen)
    assert chosen == choose_prompts(replies, "Anna", 8, seed=4) != choose_prompts(replies, "Anna", 8, seed=5)
    assert {reply.sent_ms for reply in choose_prompts(replies, "Anna", 99, seed=1)} == set(range(20))
    with pytest.raises(UserError, match="No held-out prompt has a reply"):
        choose_prompts(replies[20:], "Anna", 3, seed=1)


async def test_every_arm_answers_the_same_moments_and_reactions_are_no_answer(tmp_path: Path) -> None:
    moments = [moment(n) for n in range(3)]
    engine = ScriptedEngine([["one ", " "], [SIGN + "👍"], ["two", "three"]])
    lead = (Turn("system", "You are Anna."),)
    told: list[tuple[int, int, str]] = []
    sources = ReplySources(
        paths=WorkspacePaths(root=tmp_path),
        open_engine=lambda card: engine,
        sampling=Sampling(seed=1),
        on_progress=lambda *progress: told.append(progress),
    )
    prompted = arm("prompted", lead=lead)
    assert await answer_prompts(sources, [prompted], moments, 1) == [(prompted, [("one",), (), ("two", "three")])]
    assert told[-1] == (3, 3, "the-prompted (prompted) answers")

    def seen(prompt: Prompt) -> tuple[str, tuple[Turn, ...]]:
        return prompt.speaker, prompt.turns

    assert [seen(prompt) for prompt in engine.prompts] == [("Anna", (*lead, *each.context)) for each in moments]


def test_questions_hide_names_mix_arms_and_count_what_is_left_out(site_store: Store, tmp_path: Path) -> None:
    from talkalike.store.judging import guesses, judges

    moments = [moment(n) for n in range(4)]
    double = (arm("double"), [(f"double {n} says Dora",) for n in range(4)])
    base = (arm("base"), [(), ("a real reply 1",), ("base 2",), ("base 3",)])
    made = site_store.call(store_round, "Who?", moments, [double, base], ["Ben", "Cleo", "Dora"])
    assert (made.prompts, made.questions) == (4, 6)
    assert dict(made.left_out) == {"the-base (base) said nothing": 1, "the-base (base) said the same as Anna": 1}

    def take() -> tuple[list[str], Counter[str]]:
        judge, texts, arms = judges.guest().id, [], Counter[str]()
        while (question := guesses.next_question(made.id, judge)) is not None:
            asked = question.replies
            texts += [text for _, text in asked.context] + [*asked.left.messages, *asked.right.messages]
            arms[guesses.guess(question.replies.id, judge, guesses.Side.LEFT, face="web").arm] += 1
        return texts, arms

    texts, arms = site_store.call(take)
    assert not any(name in text for text in texts for name in ("Ben", "Cleo", "Dora", SIGN))
    assert any(text.endswith("says Friend 3") for text in texts)
    assert arms["double"] >= 1 and arms["base"] >= 1 and arms.total() == 4
