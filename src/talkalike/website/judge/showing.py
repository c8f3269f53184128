"""What the templates of the judge page show: a pair with what this judge said about it, and how far they are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from talkalike.chat.shared_pictures import without_unseen_picture
from talkalike.store.judging import rating_forms, serving
from talkalike.store.judging.judgement_values import Comparison, ShownReply, Side, Turn, headings
from talkalike.store.judging.rating_forms import RatingForm
from talkalike.store.talking import pictures
from talkalike.store.talking.values import PictureRow

# Of the context; what is before is folded. The last message and both replies are to be seen before one scrolls.
TURNS_SHOWN = 6
CHARACTERS_SHOWN = 600
TEXT_SHOWN = 400  # characters of one message, about
PHONE_TURNS, PHONE_TEXT = 2, 150  # what is more than that, a phone folds further


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTurn:
    """A message of the context; `rest` is folded. `own`: the double's own. `pictures`: sent with it."""

    speaker: str
    text: str
    rest: str
    own: bool
    pictures: tuple[PictureRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSide:
    """One of the two replies, and what this judge said about it; `scales` are each (scale, in words, the rating)."""

    side: Side
    reply: ShownReply
    form: RatingForm
    scales: tuple[tuple[str, str, int | None], ...]
    chosen: bool
    model: str = ""

    @property
    def text(self) -> str:
        """What an edit starts from."""
        return self.form.correction or "\n".join(self.reply.messages)


def context_of(turns: Sequence[Turn], speaker: str, sent: pictures.Places) -> dict[str, Any]:
    """The context: `earlier` is folded, `turns` is shown; `fold`: where a phone shows less of it at first."""
    shown = [_turn(name, text, speaker, sent.get(place, ())) for place, (name, text) in enumerate(turns)]
    last = shown[-TURNS_SHOWN:]
    while len(last) > 1 and sum(len(turn.text) for turn in last) > CHARACTERS_SHOWN:
        last = last[1:]
    fold = len(last) > PHONE_TURNS or any(len(turn.text) > PHONE_TEXT for turn in last)
    return {"earlier": shown[: len(shown) - len(last)], "turns": last, "fold": fold}


def _turn(name: str, text: str, speaker: str, sent: tuple[PictureRow, ...]) -> ShownTurn:
    for picture in sent:  # it is shown itself; what an eye saw in it stays, for the double read that
        text = text.replace(f"[image: {picture.name}]", "", 1).strip()  # in conversations from before there were eyes
        text = without_unseen_picture(text)
    cut = len(text) if len(text) <= 1.25 * TEXT_SHOWN else text.rfind(" ", 0, TEXT_SHOWN) + 1 or TEXT_SHOWN
    return ShownTurn(speaker=name, text=text[:cut], rest=text[cut:], own=name == speaker, pictures=sent)


def pair_context(view: Comparison, judge_id: int, *, models: tuple[str, str] | None = None) -> dict[str, Any]:
    """What `_pair.html` needs. `models`: left and right, once they are known, which also ends the judging."""
    items = (view.left.item_id, view.right.item_id)
    forms, words = rating_forms.read_forms(items, judge_id), headings(view.speaker)
    sides = [
        ShownSide(
            side=side,
            reply=reply,
            form=forms[reply.item_id],
            scales=tuple((scale.value, name, forms[reply.item_id].ratings.get(scale)) for scale, name in words.items()),
            chosen=view.said is side,
            model=model,
        )
        for side, reply, model in zip(Side, (view.left, view.right), models or ("", ""), strict=True)
    ]
    return {
        "view": view,
        "batch": view.batch_id,
        "sides": sides,
        "given": view.said.value if view.said else "",
        "open": models is None,
        "shown_ms": int(time.time() * 1000),
        "progress": progress_of(judge_id, view.batch_id) if view.batch_id is not None else None,
        **context_of(view.context, view.speaker, pictures.of_items(items)),
    }


def progress_of(judge_id: int, batch_id: int) -> dict[str, int | str]:
    """How far the judge is today, in numbers and words."""
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    progress = serving.progress(judge_id, batch_id, midnight)
    made, second = progress.judged, progress.second_opinions
    words = f"{made} of {made + progress.left} today"
    if progress.left == serving.MANY:
        words = f"{made} today, {serving.MANY} or more are left"
    elif second:
        words += f" · {second} {'needs' if second == 1 else 'need'} a second opinion"
    return {"made": made, "all": made + progress.left, "words": words, "left": progress.left}
