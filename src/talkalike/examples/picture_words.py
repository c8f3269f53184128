"""Pictures as words: the brackets they stand in, and what keeps a person's text from passing for a picture.

Vision models find the places of pictures by tokens with names such as <image>. Typed by a person, such a token would
shift every picture by one place, or end the model's turn. So it is written with other brackets before a model sees it;
people still read what was typed. Nor can anybody type what the eye would say: "[picture" loses its bracket as well.
"""

from __future__ import annotations

import re

NOT_RECOGNISED = "[picture, not recognised]"
_LONGEST = 600  # characters of an eye's words

# By what such names contain, and not as a list: each family of models brings new ones.
_SIGNS = re.compile(
    r"<[^<>\s]*(?:image|img|picture|vision|video|media|audio|chunk|utterance|im_|row_\d|_col_)[^<>\s]*>",
    re.IGNORECASE,
)
_SQUARE_SIGNS = re.compile(r"\[(/?(?:IMG|IMAGE|AUDIO|VIDEO)[A-Z_]*)\]", re.IGNORECASE)
_BRACKET = re.compile(r"\[(?=[\s\W]*picture)", re.IGNORECASE)


def neutral(text: str) -> str:
    """A person's text without anything that stands for a picture: <image> becomes ‹image›, [picture: (picture:."""
    before = ""
    while before != text:  # taking one away may make another of what is around it
        before = text
        text = _SIGNS.sub(lambda sign: f"‹{sign[0][1:-1]}›", text)
        text = _SQUARE_SIGNS.sub(r"(\1)", text)
    return _BRACKET.sub("(", text)


def in_brackets(words: str) -> str:
    """What an eye saw, as it stands in the text a model reads; without words, that nothing was recognised.

    The words may hold what was written in the picture: it can close no bracket and open none.
    """
    line = " ".join(neutral(words).split()).replace("[", "(").replace("]", ")")[:_LONGEST].strip()
    return f"[picture: {line}]" if line else NOT_RECOGNISED
