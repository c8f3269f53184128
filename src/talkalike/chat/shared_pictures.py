"""A picture in a conversation: what is known of it in words, and the line that stands for it in its sender's turn.

The line is in brackets that no text of a person opens (`examples.picture_words.neutral`), so a model that reads words
only can tell what an eye saw from what somebody claims.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from talkalike.engine.eyes import Looked
from talkalike.examples.fitting import CountTokens, shorten
from talkalike.examples.picture_words import NOT_RECOGNISED, in_brackets, neutral
from talkalike.examples.render import Turn
from talkalike.pictures.picture import PictureRef

MOST_TOKENS = 60  # of a picture's line
_LONGEST_NAME = 40  # characters of a file's name in it
_SLACK = 6  # tokens that a word can take more beside brackets than alone
_UNSEEN = "[picture, not seen: "
_SPEAKER = "user"  # whoever it is, the words cost the same


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPicture:
    """`looked`: what an eye saw, None where none looked; `unseen` says why not, empty where there is no eye.

    `aside`: its name is in the text already (a sticker, an emoji), or it comes along with a link: it has a line only
    when something was recognised in it, or when it could not be had.
    """

    ref: PictureRef | None = None
    looked: Looked | None = None
    unseen: str = ""
    aside: bool = False


def picture_line(picture: SharedPicture, *, name: str) -> str:
    """What stands for the picture in its turn; `name` is its file's, without brackets. Empty where nothing does."""
    if picture.looked is not None:
        if picture.looked.sure and picture.looked.words.strip():
            return in_brackets(picture.looked.words)
        return "" if picture.aside else NOT_RECOGNISED
    if picture.aside and not picture.unseen:
        return ""
    known = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    why = f" ({neutral(' '.join(picture.unseen.split()))})" if picture.unseen.strip() else ""
    return f"{_UNSEEN}{known}{why}]"


def without_unseen_picture(text: str) -> str:
    """A turn's text without its first line where that only says that there is a picture, for those who see it."""
    line, _, rest = text.partition("\n")
    return rest if line.startswith(_UNSEEN) or line == NOT_RECOGNISED else text


def fit_words(picture: SharedPicture, count_tokens: CountTokens) -> SharedPicture:
    """The picture with so many of its words that its line costs at most `MOST_TOKENS`."""
    if picture.looked is None or not picture.looked.sure:
        return picture
    line, empty, bare = count_tokens(
        (Turn(_SPEAKER, in_brackets(picture.looked.words)), Turn(_SPEAKER, "[picture: ]"), Turn(_SPEAKER, ""))
    )
    if line - bare <= MOST_TOKENS:
        return picture
    limit = MOST_TOKENS - (empty - bare) - _SLACK + bare
    shorter = shorten(Turn(_SPEAKER, " ".join(picture.looked.words.split())), limit, count_tokens).text
    return replace(picture, looked=replace(picture.looked, words=shorter))
