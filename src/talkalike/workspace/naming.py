"""Names for folders, made from people's."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

_LONGEST_NAME = 40
_SPELT = str.maketrans({"ł": "l", "ø": "o", "ß": "ss", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "þ": "th", "ı": "i"})


def folder_name(names: Iterable[str]) -> str:
    """A name for examples or a model made from people's names: lower-case Latin letters, digits and dashes.

    What these cannot write ends in signs that stand for the names, so that others' are called otherwise.
    """
    whole = "-".join(names)
    spelt = unicodedata.normalize("NFKD", whole.lower().translate(_SPELT))
    folded = re.sub(r"[^a-z0-9_]+", "-", "".join(char for char in spelt if not unicodedata.combining(char)))
    stem = folded.strip("-_")[:_LONGEST_NAME].strip("-_")
    is_lossy = not stem or len(folded) > _LONGEST_NAME or any(char.isalpha() and not char.isascii() for char in spelt)
    return f"{stem or 'speaker'}-{fingerprint([whole])}" if is_lossy else stem


def fingerprint(identity: Iterable[str]) -> str:
    """A few signs that stand for somebody, to tell apart what would have one name."""
    return hashlib.blake2b("\n".join(identity).encode(), digest_size=3).hexdigest()
