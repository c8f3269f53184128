"""What Facebook does to texts and names: broken encoding, and accounts that are deleted or not people."""

from __future__ import annotations

import re

_SURROGATES = re.compile("[\ud800-\udfff]+")


class TextRepair:
    """Undoes the export's double encoding; what no encoding can hold becomes U+FFFD and is counted in `replaced`."""

    def __init__(self) -> None:
        self.replaced = 0

    def __call__(self, text: str) -> str:
        """UTF-8 bytes written as one character each become what they meant; correct text is returned unchanged."""
        if text.isascii():
            return text
        try:
            return text.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            return text
        except UnicodeEncodeError:
            # Beyond Latin-1: either already correct, or with halves of a surrogate pair, which cannot be stored.
            return _SURROGATES.sub(self._joined, text)

    def _joined(self, found: re.Match[str]) -> str:
        # Neighbouring halves may make up a whole character.
        joined = found[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        self.replaced += joined.count("\ufffd")
        return joined


# Accounts that no longer exist all carry the same name; they are different people.
DELETED_ACCOUNT_NAMES = frozenset(
    {
        "Facebook user",
        "Facebook User",
        "Messenger user",
        "Instagram User",
        "Uživatel Facebooku",
        "Uživatel Facebook",
        "Facebook-Nutzer",
        "Facebook-Nutzer/in",
        "Utilisateur de Facebook",
        "Usuario de Facebook",
        "Utente di Facebook",
        "Użytkownik Facebooka",
        "Používateľ Facebooku",
        "",
    }
)
BOT_NAMES = frozenset({"Meta AI"})
