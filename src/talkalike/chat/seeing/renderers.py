"""Four ways of writing a question with its shots, each a pure function that says what it demands of its reader.

What does not fit is left out from the furthest shot on, never from the question, and is named in the result. Nothing
that people wrote stands for a picture or ends a chunk: that is seen to here, once all texts are together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from talkalike.chat.seeing.prompts import parts_of, shot_parts
from talkalike.chat.seeing.values import IMAGE, Ask, AskTurn, Part, RenderedAsk, Shot, ShotLimits
from talkalike.errors import UserError
from talkalike.examples.picture_words import in_brackets, neutral
from talkalike.pictures.picture import PictureRef

END_OF_CHUNK = "<|endofchunk|>"
_ANY = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotRenderer:
    """A way of writing an ask, and what it demands of the model that reads it."""

    name: str
    limits: ShotLimits
    render: Callable[[Ask, ShotLimits], RenderedAsk]


def flamingo_chunks(ask: Ask, limits: ShotLimits) -> RenderedAsk:
    """One text: every example a chunk with its end, and the question a chunk that is left unfinished."""
    shots, dropped = fit_shots(ask, limits)
    chunks = [neutral(ask.instruction.strip()) + "\n"] if ask.instruction.strip() else []
    pictures: list[PictureRef] = []
    for shot in shots:
        parts = _trimmed((*shot_parts(ask.template, shot), " ", shot.output.strip()))
        pictures += _pictures(parts)
        chunks.append(_as_text(parts, IMAGE) + END_OF_CHUNK)
    question = _trimmed(parts_of(ask.prompt, ask.pictures))
    pictures += _pictures(question)
    return RenderedAsk(
        renderer="flamingo_chunks",
        raw="".join(chunks) + _as_text(question, IMAGE),
        pictures=tuple(pictures),
        shots=len(shots),
        dropped=dropped,
    )


def chat_turns(ask: Ask, limits: ShotLimits) -> RenderedAsk:
    """A conversation: each example a turn of the user with its picture, and the answer to it."""
    shots, dropped = fit_shots(ask, limits)
    turns: list[AskTurn] = []
    for shot in shots:
        turns.append(AskTurn(role="user", parts=_trimmed(shot_parts(ask.template, shot))))
        turns.append(AskTurn(role="assistant", parts=_trimmed((shot.output,))))
    turns.append(AskTurn(role="user", parts=_trimmed(parts_of(ask.prompt, ask.pictures))))
    return _in_turns("chat_turns", _instructed(ask, turns, limits), len(shots), dropped)


def single_turn(ask: Ask, limits: ShotLimits) -> RenderedAsk:
    """One turn of the user that holds everything: examples with their answers, then the question."""
    shots, dropped = fit_shots(ask, limits)
    parts: list[Part] = []
    for shot in shots:
        parts += [*_trimmed((*shot_parts(ask.template, shot), " ", shot.output.strip())), "\n\n"]
    turn = AskTurn(role="user", parts=_trimmed((*parts, *parts_of(ask.prompt, ask.pictures))))
    return _in_turns("single_turn", _instructed(ask, [turn], limits), len(shots), dropped)


def text_only(ask: Ask, limits: ShotLimits) -> RenderedAsk:
    """The same conversation for a model that reads words only: what an eye saw stands in brackets for each picture.

    `pictures` are those whose words stand in it.
    """
    rendered = chat_turns(ask, limits)
    turns = tuple(AskTurn(role=turn.role, parts=_worded(turn.parts, ask.words)) for turn in rendered.turns)
    return RenderedAsk(
        renderer="text_only",
        turns=turns,
        pictures=rendered.pictures,
        shots=rendered.shots,
        dropped=rendered.dropped,
    )


RENDERERS: Mapping[str, ShotRenderer] = {
    renderer.name: renderer
    for renderer in (
        ShotRenderer(name="flamingo_chunks", limits=ShotLimits(max_images=_ANY), render=flamingo_chunks),
        ShotRenderer(name="chat_turns", limits=ShotLimits(max_images=_ANY, needs_system=True), render=chat_turns),
        ShotRenderer(name="single_turn", limits=ShotLimits(max_images=_ANY, interleaves=False), render=single_turn),
        ShotRenderer(name="text_only", limits=ShotLimits(max_images=_ANY, needs_system=True), render=text_only),
    )
}


def render_ask(renderer: str, ask: Ask, *, max_images: int) -> RenderedAsk:
    """The ask, written by the renderer of this name for a reader who takes so many pictures.

    Raises UserError where the question itself has more pictures than that.
    """
    found = RENDERERS[renderer]
    most = min(max_images, found.limits.max_images)
    if len(ask.pictures) > most:
        raise UserError(
            f"You asked about {len(ask.pictures)} pictures, but what looks at them takes {most} at once.",
            hint="Ask about fewer of them, or use another eye.",
        )
    limits = ShotLimits(max_images=most, interleaves=found.limits.interleaves, needs_system=found.limits.needs_system)
    return found.render(ask, limits)


def fit_shots(ask: Ask, limits: ShotLimits) -> tuple[tuple[Shot, ...], tuple[tuple[str, str], ...]]:
    """The shots for which there is room beside the question's pictures, and what was left out and why."""
    left = limits.max_images - len(ask.pictures)
    kept: list[Shot] = []
    gone: list[int] = []
    for number, shot in reversed(list(enumerate(ask.shots, start=1))):
        if shot.picture is not None and left <= 0:
            gone.append(number)
            continue
        left -= shot.picture is not None
        kept.append(shot)
    if not gone:
        return tuple(reversed(kept)), ()
    which = f"{len(gone)} of {len(ask.shots)} examples" if len(ask.shots) > 1 else "the example"
    room = "1 picture" if limits.max_images == 1 else f"{limits.max_images} pictures"
    return tuple(reversed(kept)), ((which, f"there is room for {room}, those of the question included"),)


def _in_turns(
    renderer: str, turns: tuple[AskTurn, ...], shots: int, dropped: tuple[tuple[str, str], ...]
) -> RenderedAsk:
    pictures = tuple(picture for turn in turns for picture in _pictures(turn.parts))
    return RenderedAsk(renderer=renderer, turns=turns, pictures=pictures, shots=shots, dropped=dropped)


def _instructed(ask: Ask, turns: list[AskTurn], limits: ShotLimits) -> tuple[AskTurn, ...]:
    """The turns with the instruction before them: in a turn of its own, or at the beginning of the first one."""
    text = neutral(ask.instruction.strip())
    if not text:
        return tuple(turns)
    if limits.needs_system:
        return (AskTurn(role="system", parts=(text,)), *turns)
    first = AskTurn(role=turns[0].role, parts=_trimmed((text, "\n\n", *turns[0].parts)))
    return (first, *turns[1:])


def _worded(parts: Iterable[Part], words: Mapping[str, str]) -> tuple[Part, ...]:
    """The parts as one text, without a picture among them."""
    texts = []
    for part in parts:
        texts.append(part if isinstance(part, str) else in_brackets(words.get(part.hash, "")) + " ")
    return _trimmed(("".join(texts),), neutralise=False)


def _trimmed(parts: Iterable[Part], *, neutralise: bool = True) -> tuple[Part, ...]:
    """Neighbouring texts as one, without anything in them that stands for a picture, nor white space at the ends."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, str) and isinstance(last, str):
            joined[-1] = last + part
        else:
            joined.append(part)
    if neutralise:
        joined = [neutral(part) if isinstance(part, str) else part for part in joined]
    if joined and isinstance(joined[0], str):
        joined[0] = joined[0].lstrip()
    if joined and isinstance(joined[-1], str):
        joined[-1] = joined[-1].rstrip()
    return tuple(part for part in joined if part != "")


def _pictures(parts: Iterable[Part]) -> list[PictureRef]:
    return [part for part in parts if not isinstance(part, str)]


def _as_text(parts: Iterable[Part], picture: str) -> str:
    return "".join(part if isinstance(part, str) else picture for part in parts)
