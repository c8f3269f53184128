"""Personal data becomes placeholders; everything else in a message stays as it was typed."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from talkalike.chats.redaction import redact

# Assembled at run time, so that no scanner takes this file for a leak.
GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
SLACK = "xoxb-" + "123456789012-abcdefghijkl"
KEY_BLOCK = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA " + "PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("write to a.b+c@example.co.uk, or jan@seznam.cz.", "write to [email], or [email]."),
        ("<eva@pošta.cz> and petr(at)seznam.cz", "<[email]> and [email]"),
        ("mailto:a@b.cz", "mailto:[email]"),
        ("call me +420 777 123 456 5 minutes before", "call me [phone] 5 minutes before"),
        ("+44 (0)20 7946 0958 or (+420777123456)", "[phone] or ([phone])"),
        ("00420777123456", "[phone]"),
        ("777 123 456", "[phone]"),
        ("můj telefon je 777123456, nebo 603 123 456", "můj telefon je [phone], nebo [phone]"),
        ("(201) 555-0123 or 201-555-0199", "[phone] or [phone]"),
        ("handy 0176 12345678 oder 0151/23456789", "handy [phone] oder [phone]"),
        ("tel:777123456 tel: +420777123456", "tel:[phone] tel: [phone]"),
        ("pay with 4111 1111 1111 1111 or 378282246310005", "pay with [card] or [card]"),
        ("5555-5555-5555-4444 expires soon", "[card] expires soon"),
        ("CZ65 0800 0000 1920 0014 5399 thanks", "[iban] thanks"),
        ("DE89370400440532013000, gb82 west 1234 5698 7654 32.", "[iban], [iban]."),
        ("password: hunter2 and heslo je Kocour123", "password: [secret] and heslo je [secret]"),
        ('api_key = "abcdefgh", MY_TOKEN=abcdef', 'api_key = "[secret]", MY_TOKEN=[secret]'),
        ("pin: 1234, PIN je 9876", "pin: [secret], PIN je [secret]"),
        ("/msg NickServ identify hunter two", "/msg NickServ identify [secret] two"),
        (f"use {GITHUB} or {AWS}, {SLACK}", "use [secret] or [secret], [secret]"),
        (f"look:\n{KEY_BLOCK}\nok?", "look:\n[secret]\nok?"),
        ("it is q7Zp2Lk9Xw4Vb8Nt3Rm6Yc1Hd, right", "it is [secret], right"),
        ("https://jan:hunter2@host.com/x?q=1", "https://[secret]@host.com/x?q=1"),
        ("http://a.b/c?page=2&access_token=EAAB12#end", "http://a.b/c?page=2&access_token=[secret]#end"),
        ("see http://a.b/?sig=abc12", "see http://a.b/?sig=[secret]"),
        ("https://wa.me/420777123456 hi", "https://wa.me/[phone] hi"),
        (
            "https://discord.com/api/webhooks/123456789012345678/abcDEF-123_xyzabcDEF-123_xyz",
            "https://discord.com/api/webhooks/123456789012345678/[secret]",
        ),
    ],
)
def test_spans_are_replaced_and_the_rest_stays(text: str, clean: str) -> None:
    redacted = redact(text)
    assert redacted.text == clean
    placeholders = re.findall(r"\[(email|phone|card|iban|secret)\]", clean)
    assert dict(redacted.counts) == {sort: placeholders.count(sort) for sort in set(placeholders)}


@pytest.mark.parametrize(
    "text",
    [
        "it happened in 2012, 1999-12-31 23:59:59 or 12.03.2012 10:15",
        "03/04/2012 20120304123000 2012-03-04 12 30 45 66",
        "1920x1080 10.0.0.138 192.168.100.200 netmask 255.255.255.0",
        "it gave me 255.555.555, then 777.123.456",
        "linux 2.6.32-21-generic, 2.6.24-16-386, kernel: [16875.663868] 0x0040193a",
        "1234567890 bytes, 1 234 567 890 Kč, 1,234,567,890 or 600 700 800 EUR, $ 201-555-0123",
        "0.00   63.50  1024 1072 1176 1328  768 771 775 798 -hsync +vsync",
        "777 123 456 789 12 and more of it",
        "order 2015550123 shipped, bug #777123456, http://x.org/p=777123456",
        "4111 1111 1111 1112 and 1234567812345678",
        "CZ66 0800 0000 1920 0014 5399",
        "zcat[1] starcannon sam_ q7Zp2Lk9Xw MTecknology randabis-laptop",
        "user@localhost root@192.168.1.1 @jan me@ 12:30@home",
        "the password is wrong. Password: type your own; (using password: YES)",
        "password=<your windows password> PWD=/var/log pass me the token please",
        "commit da39a3ee5e6b4b0d3255bfef95601890afd80709 48b73949-d3f8-439b-a079-80d188753d7b",
        "/usr/src/linux/Documentation/networking/ip-sysctl.txt SanDisk_Cruzer_Micro_20060775000A7FF0D518",
        "https://askubuntu.com/questions/371020/notify-osd?page=2&q=x http://paste.ubuntu.com/828020/",
        "tel [phone] mail [email] [card] [iban] [secret]",
        "ok",
        "",
    ],
)
def test_what_says_nothing_about_anybody_stays(text: str) -> None:
    redacted = redact(text)
    assert redacted.text is text
    assert not redacted.counts


def test_numbers_without_plus_depend_on_the_regions() -> None:
    american, czech = "(201) 555-0123", "777 123 456"
    assert redact(american, phone_regions=("US",)).text == "[phone]"
    assert redact(american, phone_regions=("CZ",)).text == american
    assert redact(czech, phone_regions=("CZ",)).text == "[phone]"
    assert redact(czech, phone_regions=("US",)).text == czech
    assert redact("+420 " + czech, phone_regions=()).text == "[phone]"


_PIECES = st.sampled_from(
    [
        "a@b.cz", "+420777123456", "777 123 456", "4111111111111111", "DE89370400440532013000", "password: ", "x1y2z3",
        GITHUB, "https://", "u:p@", "?token=", "[email]", "[", "]", " ", "-", ".", "\n", "0", "9", "+", "(", ")", "@",
        "-----BEGIN PRIVATE KEY-----", "\u2028", "\ud800", "ſecret: ", "q7Zp2Lk9Xw4Vb8Nt3Rm6Yc1Hd",
    ]
)  # fmt: skip
_TEXTS = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=()), max_size=60), st.lists(_PIECES, max_size=8).map("".join)
)


@given(_TEXTS)
@example("a@b.cz777 123 456")
@example("password: a@b.cz")
@example("password:" + 230 * "a" + "@b.cz")  # the second look finds what the first one freed
def test_any_text_is_redacted_once_and_for_all(text: str) -> None:
    once = redact(text)
    twice = redact(once.text)
    assert twice.text is once.text
    assert not twice.counts
    assert bool(once.counts) == (once.text != text)
    if not once.counts:
        assert once.text is text


@given(st.text(alphabet="abc d,\n", max_size=20), st.text(alphabet="abc d,\n", max_size=20))
def test_an_address_is_found_between_any_words_and_they_stay(before: str, after: str) -> None:
    text = f"{before} jan.novak@example.com {after}"
    assert redact(text).text == f"{before} [email] {after}"


@given(st.text(alphabet="0123456789 +-(./)@:AaZz_=[]", min_size=200, max_size=2000))
def test_long_runs_of_what_could_be_anything_are_survived(text: str) -> None:
    assert redact(redact(text).text).counts == {}
