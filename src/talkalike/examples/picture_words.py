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
_PIECES = re.compile(
    r"(?P<sign>[<>])|(?P<blank>\s)"
    r"|image|img|picture|vision|video|media|audio|chunk|utterance|im_|row_\d|_col_",
    re.IGNORECASE,
)
_SQUARE_SIGNS = re.compile(r"\[(/?(?:IMG|IMAGE|AUDIO|VIDEO)[A-Z_]*)\]", re.IGNORECASE)
_BEFORE_PICTURE = re.compile(r"(?<!\W)\W+(?=picture)", re.IGNORECASE)  # each run of signs is tried once: long texts pass


def neutral(text: str) -> str:
    """A person's text without anything that stands for a picture: <image> becomes ‹image›, [picture: (picture:."""
    if "<" in text:
        text = _without_signs(text)
    if "[" not in text:
        return text
    text = _SQUARE_SIGNS.sub(r"(\1)", text)
    return _BEFORE_PICTURE.sub(lambda signs: signs[0].replace("[", "("), text)


def _without_signs(text: str) -> str:
    """The text in which no <...> holds the name of a picture's token, nor does after another one was taken away."""
    opened: list[tuple[int, bool]] = []  # where, and whether such a name came since
    changed: dict[int, str] = {}
    for piece in _PIECES.finditer(text):
        if piece["blank"]:
            opened.clear()
        elif piece[0] == "<":
            opened.append((piece.start(), False))
        elif not opened:
            continue
        elif piece[0] != ">":
            opened[-1] = (opened[-1][0], True)
        else:
            place, named = opened.pop()
            if not named:
                opened.clear()
                continue
            changed[place], changed[piece.start()] = "‹", "›"
            if opened:
                opened[-1] = (opened[-1][0], True)
    return "".join(changed.get(place, sign) for place, sign in enumerate(text)) if changed else text


def in_brackets(words: str) -> str:
    """What an eye saw, as it stands in the text a model reads; without words, that nothing was recognised.

    The words may hold what was written in the picture: it can close no bracket and open none.
    """
    line = " ".join(neutral(words).split()).replace("[", "(").replace("]", ")")[:_LONGEST].strip()
    return f"[picture: {line}]" if line else NOT_RECOGNISED
