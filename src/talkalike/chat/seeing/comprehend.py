"""A question about pictures and who answers it: an eye that can, or a model that reads what an eye saw.

Every face asks here, so that a task means the same everywhere. Nothing is left out in silence: the answer says how many
shots were shown, what was left out and why, and whether what answered saw the picture or read words about it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from talkalike.chat.seeing.prints import prints_of
from talkalike.chat.seeing.prompts import fill_prompt
from talkalike.chat.seeing.renderers import render_ask
from talkalike.chat.seeing.selecting import NOTHING_KNOWN, KnownOfPictures, select_shots
from talkalike.chat.seeing.values import MOST_PICTURES, Ask, RenderedAsk, Shot, TaskSpec
from talkalike.engine.eyes import ContinuingEye, ConversingEye, Eye, EyeTurn, Grade, Looked
from talkalike.engine.protocol import Engine, Prompt, Sampling
from talkalike.errors import UserError
from talkalike.examples.render import Turn
from talkalike.pictures.picture import Picture, PictureRef

ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureQuestion:
    """What somebody asks. `prompt` may be empty: then the task's template asks. `label`: the task with its version."""

    pictures: tuple[Picture, ...]
    task: TaskSpec
    prompt: str = ""
    label: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    grade: Grade = Grade.GLANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturesAtHand:
    """What is at hand already: the bytes of the task's pictures, what is known of pictures, and what this eye saw in
    them at a glance, all by hash."""

    gallery: Mapping[str, Picture] = field(default_factory=dict)
    known: KnownOfPictures = NOTHING_KNOWN
    words: Mapping[str, Looked] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAnswer:
    """An answer and how it came about, for the record and for what is written under it.

    `shots` of the task's `of_shots` examples were shown. `by`: who wrote the answer; `eye`: who looked. `seen`: what
    the eye saw at a glance for it, by hash, to be kept. `tokens` written, and `picture_tokens` that pictures cost.
    """

    pictures: tuple[PictureRef, ...]
    prompt: str
    text: str
    task: str
    shots: int
    of_shots: int
    dropped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    seconds: float
    eye: str
    by: str
    renderer: str
    tokens: int = 0
    picture_tokens: int = 0
    seen: Mapping[str, Looked] = field(default_factory=dict)

    @property
    def footer(self) -> str:
        """What is told under the answer, in one line."""
        examples = "no examples" if not self.of_shots else f"{self.shots} of {self.of_shots} examples"
        facts = [f"task {self.task}", examples, f"{self.seconds:.1f} s", self.eye]
        if self.by != self.eye:
            facts[-1] += f" looked, {self.by} answered"
        left_out = [f"left out: {what}, because {why}" for what, why in self.dropped]
        return " · ".join((*facts, *left_out, *self.notes))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """What came back, and how it was asked for."""

    text: str
    rendered: RenderedAsk
    by: str
    tokens: int = 0
    picture_tokens: int = 0
    notes: tuple[str, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    seen: Mapping[str, Looked] = field(default_factory=dict)


NOTHING_GIVEN = PicturesAtHand()


async def comprehend(
    question: PictureQuestion, *, eye: Eye, engine: Engine | None = None, given: PicturesAtHand = NOTHING_GIVEN
) -> SeenAnswer:
    """Answers the question with the task's examples before it.

    `engine` answers where the eye only finds words for what it sees; without one, those words are the answer. Raises
    UserError for a prompt that does not fit its pictures, TalkalikeError where the eye or the engine cannot be reached.
    """
    began = time.monotonic()
    question.sampling.check()
    task = question.task
    refs = tuple(picture.ref for picture in question.pictures)
    filled = fill_prompt(task.template, question.prompt, len(refs))
    bytes_of = {**given.gallery, **{picture.hash: picture for picture in question.pictures}}
    known = await asyncio.to_thread(_with_prints, given.known, bytes_of, task.shots)
    selected = select_shots(task, refs, known)
    shots, lost = _with_bytes(selected.shots, bytes_of)
    ask = Ask(prompt=filled.prompt, pictures=refs, instruction=task.instruction, template=task.template, shots=shots)
    if isinstance(eye, ContinuingEye):
        reply = await _go_on(ask, question, eye, bytes_of)
    elif isinstance(eye, ConversingEye):
        reply = await _converse(ask, question, eye, bytes_of)
    elif eye.sight.answers:
        reply = await _look(ask, question, eye, bytes_of)
    else:
        reply = await _read(ask, question, eye, engine, replace(given, gallery=bytes_of))
    return SeenAnswer(
        pictures=refs,
        prompt=filled.prompt,
        text=cut_at_stops(reply.text, task.stop),
        task=question.label or task.name,
        shots=reply.rendered.shots,
        of_shots=len(task.shots),
        dropped=(*selected.dropped, *lost, *reply.rendered.dropped, *reply.dropped),
        notes=(*filled.notes, *selected.notes, *reply.notes),
        seconds=time.monotonic() - began,
        eye=eye.name,
        by=reply.by,
        renderer=reply.rendered.renderer,
        tokens=reply.tokens,
        picture_tokens=reply.picture_tokens,
        seen=reply.seen,
    )


def cut_at_stops(text: str, stops: Sequence[str]) -> str:
    """The text up to the first of the stops after its first letter, without white space around it."""
    text = text.strip()
    places = [place for place in (text.find(stop) for stop in stops if stop) if place >= 0]
    return text[: min(places)].rstrip() if places else text


# ---------------------------------------------------------------------------------------------------- eyes that answer
async def _go_on(ask: Ask, question: PictureQuestion, eye: ContinuingEye, bytes_of: Mapping[str, Picture]) -> _Reply:
    rendered = render_ask("flamingo_chunks", ask, max_images=eye.sight.max_images)
    pictures = tuple(bytes_of[ref.hash] for ref in rendered.pictures)
    looked = await eye.go_on(rendered.raw, pictures, question.sampling, grade=question.grade)
    return _Reply(text=looked.words, rendered=rendered, by=eye.name, picture_tokens=looked.tokens)


async def _converse(ask: Ask, question: PictureQuestion, eye: ConversingEye, bytes_of: Mapping[str, Picture]) -> _Reply:
    rendered = render_ask("chat_turns", ask, max_images=eye.sight.max_images)
    turns = tuple(
        EyeTurn(role=turn.role, parts=tuple(p if isinstance(p, str) else bytes_of[p.hash] for p in turn.parts))
        for turn in rendered.turns
    )
    looked = await eye.converse(turns, question.sampling, grade=question.grade)
    return _Reply(text=looked.words, rendered=rendered, by=eye.name, picture_tokens=looked.tokens)


async def _look(ask: Ask, question: PictureQuestion, eye: Eye, bytes_of: Mapping[str, Picture]) -> _Reply:
    """An eye that takes one picture and a question: everything in words is the question."""
    if not ask.pictures:  # one of the examples' would stand for it
        raise UserError(f"The eye '{eye.name}' answers about a picture, but there was none.", hint="Send a picture.")
    rendered = render_ask("single_turn", ask, max_images=1)
    asked = "".join(part for part in rendered.turns[-1].parts if isinstance(part, str))
    looked = await eye.look(bytes_of[rendered.pictures[0].hash], grade=question.grade, ask=asked)
    notes = (
        () if question.sampling == Sampling() else ("This eye chooses its words by itself: no option changed that.",)
    )
    return _Reply(text=looked.words, rendered=rendered, by=eye.name, picture_tokens=looked.tokens, notes=notes)


# ------------------------------------------------------------------------------------------- words, for a text model
async def _read(ask: Ask, question: PictureQuestion, eye: Eye, engine: Engine | None, given: PicturesAtHand) -> _Reply:
    """What the eye saw stands for each picture, and the engine answers."""
    asked = {ref.hash for ref in ask.pictures}
    wanted = [*asked, *(shot.picture.hash for shot in ask.shots if shot.picture)] if engine else [*asked]
    words: dict[str, Looked] = {}
    for hash_ in dict.fromkeys(wanted):
        grade = question.grade if hash_ in asked else Grade.GLANCE
        if grade is Grade.GLANCE and hash_ in given.words:
            words[hash_] = given.words[hash_]
        else:
            words[hash_] = await eye.look(given.gallery[hash_], grade=grade)
    seen = {
        hash_: looked
        for hash_, looked in words.items()
        if hash_ not in given.words and (question.grade is Grade.GLANCE or hash_ not in asked)
    }
    ask = replace(ask, words={hash_: looked.words if looked.sure else "" for hash_, looked in words.items()})
    if engine is None:
        rendered = render_ask("text_only", replace(ask, shots=()), max_images=MOST_PICTURES)
        text = "\n".join(words[ref.hash].words for ref in ask.pictures)
        note = "No model answered: these are the words of the eye."
        return _Reply(text=text, rendered=rendered, by=eye.name, notes=(note,), seen=seen)
    rendered, turns, dropped = _fitting(ask, question.sampling, engine)
    text, tokens = await _write(turns, question, engine)
    note = f"{engine.name} read a description by {eye.name}; it did not see the picture."
    notes = (note,) if ask.pictures else ()
    return _Reply(text=text, rendered=rendered, by=engine.name, tokens=tokens, notes=notes, dropped=dropped, seen=seen)


def _fitting(
    ask: Ask, sampling: Sampling, engine: Engine
) -> tuple[RenderedAsk, tuple[Turn, ...], tuple[tuple[str, str], ...]]:
    """The turns with as many shots as the engine can read beside the question and the answer."""
    room = engine.context_length - sampling.max_tokens
    for gone in range(len(ask.shots) + 1):
        rendered = render_ask("text_only", replace(ask, shots=ask.shots[gone:]), max_images=10 * MOST_PICTURES)
        turns = tuple(Turn(turn.role, "".join(str(part) for part in turn.parts)) for turn in rendered.turns)
        if sum(engine.count_tokens(turns)) < room or gone == len(ask.shots):
            break
    which = f"{gone} of {len(ask.shots)} examples"
    why = f"{engine.name} reads {engine.context_length:,} tokens, its answer included"
    return rendered, turns, ((which, why),) if gone else ()


async def _write(turns: tuple[Turn, ...], question: PictureQuestion, engine: Engine) -> tuple[str, int]:
    """The engine's answer up to a stop of the task, its messages as lines, and the tokens written for it."""
    prompt = Prompt(turns=turns, speaker=ASSISTANT, conversation=f"task {question.label or question.task.name}")
    lines: dict[int, str] = {}
    text, tokens = "", 0
    async with aclosing(engine.stream(prompt, question.sampling)) as stream:
        async for piece in stream:
            tokens += len(piece.token_ids) + piece.discarded
            lines[piece.message] = lines.get(piece.message, "") + piece.text
            text = "\n".join(lines[number] for number in sorted(lines))
            if cut_at_stops(text, question.task.stop) != text.strip():
                break
    return text, tokens


def _with_prints(known: KnownOfPictures, bytes_of: Mapping[str, Picture], shots: Sequence[Shot]) -> KnownOfPictures:
    """What is known, with prints of all pictures where there are examples to be compared with."""
    if not any(shot.picture for shot in shots):
        return known
    return replace(known, prints={**prints_of(bytes_of), **known.prints})


def _with_bytes(
    shots: Sequence[Shot], bytes_of: Mapping[str, Picture]
) -> tuple[tuple[Shot, ...], tuple[tuple[str, str], ...]]:
    """The shots whose pictures are at hand, and those that are not."""
    there = tuple(shot for shot in shots if shot.picture is None or shot.picture.hash in bytes_of)
    gone = len(shots) - len(there)
    which = f"{gone} of {len(shots)} examples"
    return there, ((which, "their pictures are not kept any more"),) if gone else ()
