"""What Facebook does to texts, times and names: broken encoding, numbers as texts, and accounts that are gone."""

from __future__ import annotations

import re

_SURROGATES = re.compile("[\ud800-\udfff]+")
_RUN = re.compile("[\x80-\xff]+")  # characters that may be the bytes of others
_CONTROLS = re.compile("[\x80-\x9f]")  # nobody types these: where they stand in a run, the run is bytes
_ODD = re.compile("[\x80-\x9f\ud800-\udfff]")
_BYTES = re.compile("[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_MOST_ROUNDS = 3  # a text that went through two broken programs is encoded that often


class TextRepair:
    """Undoes the export's double encoding, and counts what it cannot undo.

    `replaced`: characters that no encoding can hold, now U+FFFD. `unmended`: characters that are still the bytes of
    others, because some of those bytes are missing.
    """

    def __init__(self) -> None:
        self.replaced = 0
        self.unmended = 0

    def __call__(self, text: str) -> str:
        """UTF-8 bytes written as one character each become what they meant; correct text is returned unchanged."""
        if text.isascii():
            return text
        for _ in range(_MOST_ROUNDS):
            before, text = text, _decode_once(text)
            # What is right now may look like bytes by chance ("Ã©"): another round needs better evidence.
            if text == before or not surely_bytes(text):
                break
        if _ODD.search(text):
            # Halves of a surrogate pair cannot be stored.
            text = _SURROGATES.sub(self._join, text)
            self.unmended += sum(len(run[0]) for run in _RUN.finditer(text) if _CONTROLS.search(run[0]))
        return text

    def _join(self, found: re.Match[str]) -> str:
        # Neighbouring halves may make up a whole character.
        joined = found[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        self.replaced += joined.count("\ufffd")
        return joined


def _decode_once(text: str) -> str:
    """The text with its bytes decoded: the whole, or else run by run where something stands in it that is no byte."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        pass
    runs = [run[0] for run in _RUN.finditer(text)]
    if all(_decode_run(run) for run in runs):
        return _RUN.sub(lambda run: _decode_run(run[0]), text)
    # Some runs are letters, or lack a byte. They are told from bytes by a character that holds what nobody types.
    if any(_CONTROLS.search(found[0]) for found in _BYTES.finditer(text)):
        return _BYTES.sub(lambda found: _decode_run(found[0]) or found[0], text)
    return text


def _decode_run(run: str) -> str:
    """What a run of bytes means; "" if it is no whole UTF-8."""
    try:
        return run.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return ""


def surely_bytes(text: str) -> bool:
    """Whether a text is still encoded: its runs decode, and they hold controls or are more than chance explains."""
    if not _BYTES.search(text):
        return False
    runs = [run[0] for run in _RUN.finditer(text)]
    whole = [run for run in runs if _decode_run(run)]
    return any(_CONTROLS.search(run) for run in whole) or (len(whole) == len(runs) and len(set(whole)) > 1)


# Accounts that no longer exist all carry the same name; they are different people. The company's name is part of it
# in every language ("Utente di Facebook"), and no person may be called so.
_COMPANY = ("facebook", "فيسبوك", "فيس بوك", "فیس بوک", "फेसबुक", "फ़ेसबुक", "ফেসবুক", "เฟซบุ๊ก", "פייסבוק", "фейсбук")
_LONGEST_PLACEHOLDER = 4  # words
_OTHER_PLACEHOLDERS = frozenset(
    {
        "",
        *("messenger user", "instagram user", "uživatel messengeru", "uživatel instagramu", "messenger-nutzer"),
        *("instagram-nutzer", "utilisateur de messenger", "utilisateur d’instagram", "usuario de messenger"),
        *("usuario de instagram", "usuário do messenger", "usuário do instagram", "utente di messenger"),
        *("utente di instagram", "użytkownik messengera", "użytkownik instagrama", "používateľ messengera"),
    }
)
BOT_NAMES = frozenset({"Meta AI"})


def is_deleted_account(name: str) -> bool:
    """Whether this is what an export writes for everybody whose account is gone."""
    folded = " ".join(name.casefold().split())
    if folded in _OTHER_PLACEHOLDERS:
        return True
    return any(company in folded for company in _COMPANY) and 1 < _words(folded) <= _LONGEST_PLACEHOLDER


def _words(folded: str) -> int:
    """How many words a name has; one that is written onto the company's ("Facebookユーザー") counts, too."""
    parts = folded.replace("-", " ").split()
    return len(parts) + (len(parts) == 1 and folded not in _COMPANY)
