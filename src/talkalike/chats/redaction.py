"""Personal data inside a text becomes a placeholder: `[email]`, `[phone]`, `[card]`, `[iban]`, `[secret]`.

Only the span is replaced, the message around it stays as it was typed: dropping messages would tear holes into the
dialogue. A URL stays, except for credentials inside it. The rules are careful rather than greedy, because a chat is
full of years, times, versions, addresses of machines and order numbers that say nothing about anybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from talkalike.chats.phones import DEFAULT_REGIONS, replace_phones

_NOTHING: Mapping[str, int] = MappingProxyType({})

# --- the cheap look that lets nearly every chat line pass -------------------------------------------------------------
_ENOUGH_DIGITS = re.compile(r"\d(?:[ ()./\-]{0,2}\d){7}")
_LONG_RUN = re.compile(r"[A-Za-z0-9+/_\-]{20}")
_CUE = re.compile(r"pass|pwd|heslo|secret|token|key|\bpin\b|\bcv[vc]|nickserv|identify|phone=|wa\.me|[(\[]at[)\]]")

# --- URLs -------------------------------------------------------------------------------------------------------------
_URL = re.compile(r"((?:\b[A-Za-z][A-Za-z0-9+.\-]{1,15}://|\bwww\.)[^\s<>\"]+)")
_USER_INFO = re.compile(r"(?<=://)[^\s/@?#\[\]]+:[^\s/@?#\[\]]*(?=@)")
_QUERY_SECRET = re.compile(
    r"([?&#;](?:[\w.\-]{0,20}[_\-.])?(?:token|key|apikey|secret|sig|signature|password|passwd|pwd|pass|auth|session"
    r"|sessionid|jwt|otp|credential)=)([^\s&#;\[\]]+)",
    re.I,
)
_PHONE_LINK = re.compile(r"((?:\bwa\.me/|[?&]phone=)(?:\+|%2B)?)\d{8,15}", re.I)

# --- e-mail -----------------------------------------------------------------------------------------------------------
_LABEL = r"[^\W_](?:[\w\-]{0,61}[^\W_])?"
_EMAIL = re.compile(rf"(?<![\w.+%'\-])[\w][\w.+%'\-]{{0,63}}@(?:{_LABEL}\.){{1,6}}[^\W\d_]{{2,24}}(?![\w@])")
_EMAIL_SPELLED = re.compile(
    r"(?<![\w.+%\-])\w[\w.+%\-]{0,63} ?[(\[]at[)\]] ?[\w\-]{1,63}(?: ?(?:\.|[(\[]dot[)\]]) ?[\w\-]{2,63}){1,4}", re.I
)

# --- secrets of a known shape -----------------------------------------------------------------------------------------
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[^-]{0,20}-----.*?(?:-----END [^\n]{0,60}-----|\Z)", re.S
)
_KNOWN_SECRET = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"A(?:KIA|SIA)[0-9A-Z]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_\w{30,255}|glpat-[\w\-]{20,64}"  # GitHub, GitLab
    r"|xox[abeoprs]-[A-Za-z0-9\-]{15,255}"  # Slack
    r"|sk-[A-Za-z0-9_\-]{20,255}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,255}"  # OpenAI and alike, Stripe
    r"|AIza[\w\-]{35}|ya29\.[\w\-]{20,255}"  # Google
    r"|hf_[A-Za-z0-9]{30,64}|npm_[A-Za-z0-9]{36}|pypi-[\w\-]{50,255}"  # registries
    r"|eyJ[\w\-]{8,2000}\.eyJ[\w\-]{8,4000}\.[\w\-]{8,2000}"  # JSON web token
    r"|[MNO][\w\-]{22,27}\.[\w\-]{6}\.[\w\-]{27,45}"  # Discord bot
    r"|SG\.[\w\-]{16,32}\.[\w\-]{32,64}"  # SendGrid
    r"|\d{8,10}:AA[\w\-]{33}"  # Telegram bot
    r"|EAA[A-Za-z0-9]{40,400}"  # Facebook
    r")(?![A-Za-z0-9])"
)
_HOOK = re.compile(r"(/api/webhooks/\d{15,22}/|hooks\.slack\.com/services/)[\w\-/]{20,100}")

# --- secrets by what stands before them -------------------------------------------------------------------------------
_ASSIGNED = re.compile(
    r"(?P<name>\b(?:\w{0,20}_)?(?:password|passwort|passwd|passphrase|pass|pwd|heslo|secret|token|api[ _\-]?key|"
    r"(?:secret|access|private|auth)[ _\-]?key)\b[\"']?)"
    r"(?P<by>\s{0,3}(?::|=|:=|=>)\s{0,3}|\s(?:is|je|ist)[ :]\s{0,2})"
    r"(?P<quote>[\"'`]?)(?P<value>[^\s\"'`<>\[\](){},;&$*%|/][^\s\"'`<>\[\](){},;&*%|]{2,200})",
    re.I,
)
_PROSE = (
    "yes no none null nil true false empty required wrong incorrect invalid expired missing string str int needed "
    "correct asked never always what why how the your this that ok okay"
)
_NOT_A_VALUE = frozenset(_PROSE.split())
_PIN = re.compile(r"(\b(?:pin|cvv2?|cvc)\b(?: ?(?:code|kód|number))?(?: ?[:=] ?| (?:is|je|ist) ))(\d{3,8})(?!\w)", re.I)
_IDENTIFY = re.compile(r"(\b(?:nickserv|ns)\s+(?:identify|register|set password)\s+)([^\s<>\[\](){}]{3,64})", re.I)

# --- numbers with a checksum ------------------------------------------------------------------------------------------
_CARD = re.compile(r"(?<![\w.,/:#=+\-])\d(?:[ \-]?\d){12,18}(?![\w/:#=+\-]|[.,]\d)")
_CARD_PREFIX = re.compile(r"4|5[1-5]|2[2-7]|3[47]|6011|64|65|35|30[0-5]|36|38")
_CARD_GROUPS = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (13,), (14,), (15,), (16,), (19,)})
_IBAN = re.compile(r"(?<![\w/:#=+\-])[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11,28}")
# Characters of an IBAN by country, ISO 13616 registry.
_IBAN_LENGTH = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 "
        "FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 "
        "LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 "
        "SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20",
    )
}

# --- long random tokens -----------------------------------------------------------------------------------------------
_RANDOM = re.compile(r"(?<![\w/.~@+=\-])[A-Za-z0-9+/_\-]{24,200}={0,2}(?![\w/.+@])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """A text without personal data, and how many spans of each sort (`email`, `phone`, …) were replaced."""

    text: str
    counts: Mapping[str, int]


def redact(text: str, *, phone_regions: tuple[str, ...] = DEFAULT_REGIONS) -> Redacted:
    """Replaces personal data in `text`. Doing it twice changes nothing more; without a hit `text` itself comes back.

    `phone_regions` are ISO 3166 country codes whose way of writing phone numbers without `+` is known; numbers
    with `+` are found for every country.
    """
    if not _may_hit(text):
        return Redacted(text=text, counts=_NOTHING)
    counts: dict[str, int] = {}
    # A replaced span can free its neighbour from what glued them together, so look again until nothing is found.
    # It ends: placeholders are never matched, so every pass that finds something leaves fewer other characters.
    before = None
    clean = text
    while clean != before:
        before = clean
        clean = _pass(before, counts, phone_regions)
    return Redacted(text=clean, counts=counts) if counts else Redacted(text=text, counts=_NOTHING)


def _may_hit(text: str) -> bool:
    """Whether a careful look is worth it; never False for a text in which a rule would find something."""
    if "@" in text or "://" in text or "www." in text or "-----" in text:
        return True
    if len(text) > 5 and _CUE.search(text.lower()):
        return True
    return len(text) > 7 and (_ENOUGH_DIGITS.search(text) is not None or _LONG_RUN.search(text) is not None)


def _pass(text: str, counts: dict[str, int], regions: tuple[str, ...]) -> str:
    if "-----" in text:
        text = _replace(_PRIVATE_KEY, text, "secret", counts)
    pieces = _URL.split(text)  # outside, url, outside, url, …, outside
    for index, piece in enumerate(pieces):
        if piece:
            pieces[index] = _in_url(piece, counts) if index % 2 else _in_words(piece, counts, regions)
    return "".join(pieces)


def _in_url(url: str, counts: dict[str, int]) -> str:
    url = _replace(_USER_INFO, url, "secret", counts)
    url = _replace_group(_QUERY_SECRET, url, "secret", counts)
    url = _replace(_HOOK, url, "secret", counts, keep=1)
    url = _replace(_PHONE_LINK, url, "phone", counts, keep=1)
    url = _replace(_KNOWN_SECRET, url, "secret", counts)
    return _replace(_EMAIL, url, "email", counts) if "@" in url else url


def _in_words(text: str, counts: dict[str, int], regions: tuple[str, ...]) -> str:
    if _LONG_RUN.search(text):
        text = _replace(_KNOWN_SECRET, text, "secret", counts)
    if "@" in text:
        text = _replace(_EMAIL, text, "email", counts)
    if _CUE.search(text.lower()):
        text = _replace(_EMAIL_SPELLED, text, "email", counts)
        text = _replace(_PHONE_LINK, text, "phone", counts, keep=1)
        text = _replace_group(_IDENTIFY, text, "secret", counts)
        text = _replace_group(_PIN, text, "secret", counts)
        text = _ASSIGNED.sub(_checked(_assigned, "secret", counts), text)
    if _ENOUGH_DIGITS.search(text):
        text = _IBAN.sub(_checked(_iban, "iban", counts), text)
        text = _CARD.sub(_checked(_card, "card", counts), text)
        text = replace_phones(text, counts, regions)
    return _RANDOM.sub(_checked(_random, "secret", counts), text) if _LONG_RUN.search(text) else text


def _replace(pattern: re.Pattern[str], text: str, sort: str, counts: dict[str, int], *, keep: int = 0) -> str:
    """Replaces each match; `keep=1` leaves the first group standing before the placeholder."""
    text, hits = pattern.subn(rf"\g<1>[{sort}]" if keep else f"[{sort}]", text)
    if hits:
        counts[sort] = counts.get(sort, 0) + hits
    return text


def _replace_group(pattern: re.Pattern[str], text: str, sort: str, counts: dict[str, int]) -> str:
    """Replaces the second group of each match and keeps the first."""
    return _replace(pattern, text, sort, counts, keep=1)


def _checked(
    rewrite: Callable[[re.Match[str]], str | None], sort: str, counts: dict[str, int]
) -> Callable[[re.Match[str]], str]:
    """A replacement for `sub` that asks `rewrite` first and counts what it replaced; None leaves the match alone."""

    def replacement(match: re.Match[str]) -> str:
        new = rewrite(match)
        if new is None:
            return match[0]
        counts[sort] = counts.get(sort, 0) + 1
        return new

    return replacement


def _assigned(match: re.Match[str]) -> str | None:
    value = match["value"].rstrip(".!?:")
    if len(value) < 3 or value.casefold() in _NOT_A_VALUE:
        return None
    by, quoted = match["by"], match["quote"]
    letters_and_more = not value.isalpha()
    if by.strip().isalpha():  # "the password is …": mostly prose, so only what no word looks like
        certain = letters_and_more and any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    else:  # "password: type your own" is prose as well
        rest = match.string[match.end() :].lstrip("\"'`.!?")
        glued = not by[-1].isspace()
        certain = bool(quoted) or glued or letters_and_more or not rest.strip() or rest.startswith("\n")
    if not certain:
        return None
    tail = match["value"][len(value) :]
    return f"{match['name']}{by}{quoted}[secret]{tail}"


def _iban(match: re.Match[str]) -> str | None:
    found = match[0]
    length = _IBAN_LENGTH.get(found[:2].upper())
    if length is None:
        return None
    places = [index for index, char in enumerate(found) if char != " "]
    if len(places) < length:
        return None
    end = places[length - 1] + 1
    if (found[end:] + match.string[match.end() : match.end() + 1])[:1].isalnum():
        return None
    plain = found[:end].replace(" ", "").upper()
    digits = "".join(str(int(char, 36)) for char in plain[4:] + plain[:4])
    return f"[iban]{found[end:]}" if int(digits) % 97 == 1 else None


def _card(match: re.Match[str]) -> str | None:
    groups = re.split(r"[ \-]", match[0])
    digits = "".join(groups)
    known = _CARD_PREFIX.match(digits) is not None and tuple(map(len, groups)) in _CARD_GROUPS
    if not known or not digits.isascii() or len(set(digits)) == 1:
        return None
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return "[card]" if (doubled + sum(map(int, digits[::-2]))) % 10 == 0 else None


def _random(match: re.Match[str]) -> str | None:
    """Keys mix capitals, small letters and digits at nearly every character; names and paths of things do not."""
    sorts = ["d" if char.isdigit() else "U" if char.isupper() else "l" for char in match[0] if char.isalnum()]
    if min(sorts.count("d"), sorts.count("U"), sorts.count("l")) < 2:
        return None
    changes = sum(a != b for a, b in pairwise(sorts))
    return "[secret]" if changes >= 0.4 * len(match[0]) and len(set(match[0])) >= 12 else None
