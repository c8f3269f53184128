"""A question about pictures, for every face: the task is found, the eye is asked, what it saw is kept and paid for.

    answer = await ask_about(store, question, eye=require_eye(onlooker), engine=None)

What the eye itself cannot do, and what is wrong with a question, is told by `chat.seeing.comprehend`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from talkalike.chat.looking import Onlooker
from talkalike.chat.seeing.comprehend import PictureQuestion, PicturesAtHand, SeenAnswer, comprehend
from talkalike.chat.seeing.defaults import CAPTION
from talkalike.engine.eyes import Eye, Grade, Looked
from talkalike.engine.protocol import ContextTooLongError, Engine, EngineBusyError, Sampling
from talkalike.errors import TalkalikeError, UserError
from talkalike.pictures.picture import Picture
from talkalike.replying.writing import today
from talkalike.store import usage
from talkalike.store.seeing import words
from talkalike.store.seeing.tasks import TaskPlace
from talkalike.store.seeing.usable import pictures_of, usable_task
from talkalike.store.store import Store

LONGEST = 240.0  # seconds that an answer may take
_FOR_EVERYBODY = (UserError, EngineBusyError, ContextTooLongError)  # other errors may name files and addresses

_log = logging.getLogger(__name__)


class EyeFailedError(TalkalikeError):
    """The eye, or the model that reads its words, gave no answer. Says nothing of where they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedAbout:
    """What somebody asks. `task`: its name as it was typed, "name" or "name@3"; `by`: who pays for it."""

    place: TaskPlace
    pictures: tuple[Picture, ...]
    task: str = CAPTION
    prompt: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    grade: Grade = Grade.GLANCE
    by: int = 0


def require_eye(onlooker: Onlooker | None) -> Eye:
    """The eye that pictures are shown to. Raises UserError where there is none."""
    if onlooker is None or onlooker.eye is None:
        raise UserError("I have no eye here, so I can't look at pictures.", hint="Whoever runs me can give me one.")
    return onlooker.eye


async def ask_about(
    store: Store, asked: AskedAbout, *, eye: Eye, engine: Engine | None = None, seconds: float = LONGEST
) -> SeenAnswer:
    """The answer. No picture of a task is looked at twice by an eye that only finds words.

    Raises UserError for what cannot be asked, TalkalikeError where nobody answers in time.
    """
    found = await store.run(usable_task, asked.place, asked.task)
    gallery = await store.run(pictures_of, found.spec)
    hashes = [*gallery, *(picture.hash for picture in asked.pictures)]
    known: Mapping[str, Looked] = await store.run(words.all_words_of, hashes, eye=eye.name, grade=Grade.GLANCE)
    question = PictureQuestion(
        pictures=asked.pictures,
        task=found.spec,
        prompt=asked.prompt,
        label=found.label,
        sampling=asked.sampling,
        grade=asked.grade,
    )
    given = PicturesAtHand(gallery=gallery, words=known)
    try:
        async with asyncio.timeout(seconds):
            answer = await comprehend(question, eye=eye, engine=engine, given=given)
    except _FOR_EVERYBODY:
        raise
    except TimeoutError:
        raise EyeFailedError(
            f"There was no answer within {seconds:,.0f} seconds.", hint="Try again later, or with fewer pictures."
        ) from None
    except TalkalikeError as error:
        _log.warning("A question about a picture was not answered: %s", error)
        raise EyeFailedError("The eye can't be reached right now.", hint="Try again in a minute.") from error
    for hash_, looked in answer.seen.items():  # only of pictures that are kept: the one asked about is not
        await store.run(words.keep_words, hash_, looked, eye=eye.name, grade=Grade.GLANCE)
    spent = answer.tokens + answer.picture_tokens
    await store.run(usage.spend, asked.by, asked.place.server_id or None, replies=1, tokens=spent, day=today())
    return answer
