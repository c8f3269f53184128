"""Phone numbers in chat texts: what looks like one is checked against the numbering plans of `phonenumbers`.

With a `+` any valid number counts. Without it a number must be written as people of one of the given regions write
it; plain digits count only for mobile numbers in a message that is about calling, or that is nothing but the number.
"""

from __future__ import annotations

import re

DEFAULT_REGIONS = ("US", "GB", "DE", "CZ", "SK")

# Possessive, so that a long line of digits is looked at once.
_GROUPS = re.compile(
    r"(?<![\w.,;/#@=$€£*~^%+\-])(?<!\d:)(?<![$€£] )(?<!\d )(?<!\d  )"
    r"(?:\+ ?)?\(?\d++\)?+(?:(?:[ .\-/]|\xa0)?+\(?+\d++\)?+){0,9}+"
    r"(?![\w/@=%:+*°]|-\w|[.,]\d| ?(?:[$€£%]|Kč\b|EUR\b|USD\b|CZK\b|[kKMGT]i?[Bb]\b))"
)
_ABOUT_CALLING = re.compile(
    r"\b(?:call|ring|text) (?:me|him|her|us|them)\b|\b(?:tel|phone|mobile|cell|whatsapp|sms|signal|viber|handy|nummer"
    r"|telefon\w*|mobil\w*|[čc][íi]slo|(?:za)?vol(?:ej|at)\w*|(?:my|his|her|your) (?:new )?number)\b",
    re.I,
)


def replace_phones(text: str, counts: dict[str, int], regions: tuple[str, ...]) -> str:
    """`text` with its phone numbers as `[phone]`; each is added to `counts["phone"]`."""

    def replacement(match: re.Match[str]) -> str:
        found = match[0]
        window = _phone_in(found, text, regions)
        if window is None:
            return found
        counts["phone"] = counts.get("phone", 0) + 1
        start, end = window
        return f"{found[:start]}[phone]{found[end:]}"

    return _GROUPS.sub(replacement, text)


def _phone_in(found: str, text: str, regions: tuple[str, ...]) -> tuple[int, int] | None:
    """Where in `found`, a run of groups of digits, the phone number is."""
    if sum(map(str.isdigit, found)) < 8 or not found.isascii() or len(found) > 60:
        return None
    groups = [match.span() for match in re.finditer(r"\d+", found)]
    start = int(found[0] == "(" and found.find(")") in (-1, len(found) - 1))
    # Other numbers beside it mean a table; only a `+` says by itself where a phone number begins, not where it ends.
    for count in range(len(groups), 0, -1) if found[0] == "+" else (len(groups),):
        end = groups[count - 1][1]
        sizes = [stop - begin for begin, stop in groups[:count]]
        if not 8 <= sum(sizes) <= 16 or (count < len(groups) and found[end] != " "):
            continue
        if _is_phone(found[start:end], sizes, text, regions):
            return start, end
    return None


def _is_phone(written: str, sizes: list[int], text: str, regions: tuple[str, ...]) -> bool:
    digits = "".join(filter(str.isdigit, written))
    if written.startswith("+"):
        return _valid(written, None)
    separators = set(re.findall(r"[ .\-/]", written))
    if separators == {"."} and (len(sizes) < 3 or max(sizes) == 3):
        return False  # fractions, addresses of machines, thousands
    if digits.startswith("00") and sizes[0] >= 4 and _valid(f"+{digits[2:]}", None):
        return True
    if len(digits) < 9:
        return False
    if len(sizes) == 1:
        alone = text.strip(" .,!?:;()\n") == written.strip("()")
        return (alone or _ABOUT_CALLING.search(text) is not None) and any(
            _valid(digits, region, mobile=True) for region in regions
        )
    trunk = written.lstrip("(").startswith("0") and min(sizes) >= 2 and sizes[0] >= 3 and "." not in separators
    return any(_valid(digits, region, sizes=None if trunk else sizes) for region in regions)


def _valid(number: str, region: str | None, *, sizes: list[int] | None = None, mobile: bool = False) -> bool:
    """Whether `number` is given out in `region` (None: it starts with `+`) and is grouped as one writes it there."""
    import phonenumbers  # costs 40 ms: only where something looks like a number

    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    if not phonenumbers.is_valid_number(parsed):
        return False
    if mobile:
        kinds = phonenumbers.PhoneNumberType
        return phonenumbers.number_type(parsed) in (kinds.MOBILE, kinds.FIXED_LINE_OR_MOBILE)
    if sizes is None:
        return True
    usual = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
    usual_sizes = [len(group) for group in re.findall(r"\d+", usual)]
    return usual_sizes in (sizes, sizes[1:] if region == "US" and number[0] == "1" else sizes)
