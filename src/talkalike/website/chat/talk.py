"""A branch of a conversation as the pipeline takes it, and what the model saw of it as the store keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from talkalike.chat.context import ContextItem
from talkalike.chat.history import ChannelTalk, File, HistoryMessage, Marks, items, with_short_pictures
from talkalike.chat.options import Resolved, resolve
from talkalike.chat.permissions import Decision
from talkalike.chat.shared_pictures import SharedPicture
from talkalike.engine.protocol import Sampling
from talkalike.examples.fitting import CountTokens
from talkalike.examples.reactions import SIGN
from talkalike.examples.render import Turn
from talkalike.store import scoped
from talkalike.store.talking.values import MOST_PARTS, BurstPart, EntryKind, MessageRow, PictureRow, TalkRow
from talkalike.website.services import services

VISITOR, DOUBLE = 1, 2  # author ids: there are two people in a conversation on the website
VISIBLE = Decision(allowed=True, rule="own conversation", explanation="")
GUEST = "Guest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """All that one reply needs: the talk, how it is sampled, and how much the model may see."""

    talk: ChannelTalk
    sampling: Sampling
    budget: int | None
    reactions: bool


@dataclass(frozen=True, slots=True)
class SeenPictures:
    """What was seen in pictures, by their numbers, and how many tokens its words cost the model that reads them."""

    by_number: Mapping[int, SharedPicture]
    count_tokens: CountTokens


def options_of(conversation: TalkRow | None) -> Resolved:
    """The options that hold: of the conversation, then of the double as a whole, in the store and in the settings."""
    wide = [(scope, values) for scope, values in scoped.layers(None, 0) if scope == "bot"]
    own = conversation.options if conversation else {}
    return resolve([("bot", services().settings.options), *wide, ("thread", own)])


def branch_of(
    conversation: TalkRow,
    path: Sequence[MessageRow],
    *,
    double: str,
    options: Resolved,
    seen: SeenPictures | None = None,
) -> Branch:
    """The talk that ends with the last message of `path`, which is to be answered."""
    told = seen.by_number if seen else {}
    said = list(_history(path, told, name=conversation.name or GUEST, double=double))
    if seen is not None:
        said = with_short_pictures(said, seen.count_tokens)
    made = items(
        said,
        marks=Marks(),
        side_talk=options.value("side_talk"),
        persona=options.value("persona"),
        double=double,
    )
    emoji = {str(number): part.emoji for number, part in _parts(path) if part.emoji}
    return Branch(
        talk=ChannelTalk(
            id=talk_id(conversation.id), double=double, items=[_with_reaction(item, double, emoji) for item in made]
        ),
        sampling=options.sampling(),
        budget=options.value("budget_tokens"),
        reactions=options.value("reactions"),
    )


def talk_id(conversation_id: int) -> str:
    """The conversation's name for the models that answer in it."""
    return f"web-{conversation_id}"


def forget_saved(conversation_id: int) -> None:
    """Deletes what models saved of the conversation."""
    engines = services().engines
    if engines is not None:
        engines.forget([talk_id(conversation_id)])


def context_of(record: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What the model saw as a judge is shown it."""
    return tuple((turn["speaker"], turn["text"]) for turn in record.get("kept", ()))


def _history(
    path: Sequence[MessageRow], told: Mapping[int, SharedPicture], *, name: str, double: str
) -> Iterator[HistoryMessage]:
    for row in path:
        if row.kind is EntryKind.REPLY:
            for number, part in _parts([row]):
                yield HistoryMessage(
                    id=number, author_id=DOUBLE, author=double, text=part.text or part.emoji, at=row.at, seen=VISIBLE,
                    double=True,
                )  # fmt: skip
            continue
        yield HistoryMessage(
            id=row.id * MOST_PARTS,
            author_id=VISITOR,
            author=name,
            text=row.text,
            at=row.at,
            seen=VISIBLE,
            files=tuple(_file(one, told.get(one.id, SharedPicture())) for one in row.pictures),
            marker=row.kind is EntryKind.RESET,
        )


def _file(picture: PictureRow, shared: SharedPicture) -> File:
    return File(name=picture.name, content_type=picture.content_type, size=0, picture=shared)


def _parts(path: Sequence[MessageRow]) -> Iterator[tuple[int, BurstPart]]:
    for row in path:
        for position, part in enumerate(row.parts):
            yield row.id * MOST_PARTS + position, part


def _with_reaction(item: ContextItem, double: str, emoji: Mapping[str, str]) -> ContextItem:
    return replace(item, turn=Turn(double, SIGN + emoji[item.id])) if item.id in emoji else item
