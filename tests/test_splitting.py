"""Replies made fit for Discord: how they are cut, and what is taken out of them. Properties over random text."""

from __future__ import annotations

import re
from itertools import islice

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from talkalike.chat.splitting import MAX_PARTS, neutralise, parts, split

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
CLUSTERS = (
    "a",
    "ž",
    "e\u0301",
    FAMILY,
    "\U0001f1e8\U0001f1ff",
    "👍🏽",
    "한",
    "\r\n",
    "🏴\U000e0067\U000e0062\U000e007f",
)

# Words, clusters and line ends, without a backtick.
prose = st.lists(
    st.sampled_from([*CLUSTERS, " ", " ", "word ", "Then? ", "end. ", "\n", "\n\n", "unbreakable" * 7]), max_size=60
).map("".join)
# Lines of code; never blank, so that each block has something to show.
code = st.lists(
    st.sampled_from(["x = 1", "    return y", "print('`')", f"'{FAMILY}'", "z" * 90]), min_size=1, max_size=12
).map("\n".join)
block = st.tuples(st.sampled_from(["", "py", "c++", "objective-c"]), code).map(lambda it: f"```{it[0]}\n{it[1]}\n```")
document = st.lists(st.one_of(prose, block.map(lambda it: f"\n{it}\n")), max_size=6).map("".join)
anything = st.text(st.sampled_from("ab `\n\\[](@<>!&1./😀\u0301"), max_size=400)
limits = st.integers(60, 200)


def fences(text: str) -> list[str]:
    return re.findall("```", text)


def bare(text: str) -> str:
    """A text without its fences and white space: what must survive any split."""
    return re.sub(r"\s", "", re.sub(r"```(?:[a-z+\-]+\n)?", "", text))


@given(document, limits)
def test_parts_fit_and_none_is_blank(text, limit):
    for part in split(text, limit):
        assert len(part) <= limit
        assert part.strip()


@given(anything, limits)
@example("`" * 500, 60)
@example("```" * 90, 60)
@example("x" * 70 + "```py\n\n```" + "y" * 70, 60)
def test_hostile_text_fits_as_well_and_ends(text, limit):
    assert all(len(part) <= limit and part.strip() for part in split(text, limit))
    assert bare("".join(split(text, limit))).replace("`", "") == bare(text).replace("`", "")


@given(prose, limits)
def test_parts_of_prose_join_to_the_text(text, limit):
    kept = "".join(split(text, limit))
    assert kept == text or re.sub(r"\s", "", kept) == re.sub(r"\s", "", text)  # a part of white space only is left out


@given(document, limits)
def test_nothing_is_lost_but_white_space_and_repeated_fences(text, limit):
    assert bare("".join(split(text, limit))) == bare(text)


@given(document, limits)
def test_every_part_has_balanced_fences(text, limit):
    for part in split(text, limit):
        assert len(fences(part)) % 2 == 0


@given(document, limits)
def test_no_cluster_is_cut(text, limit):
    wanted = [cluster for cluster in regex.findall(r"\X", text) if not cluster.isspace() and "`" not in cluster]
    got = [
        cluster
        for part in split(text, limit)
        for cluster in regex.findall(r"\X", part)
        if not cluster.isspace() and "`" not in cluster
    ]
    assert [it for it in got if len(it) > 1] == [it for it in wanted if len(it) > 1]


@given(st.sampled_from(["py", "c++", ""]), st.lists(st.sampled_from(["a = 1", "b" * 50]), min_size=20, max_size=40))
def test_a_cut_block_keeps_its_language(language, lines):
    text = f"Look:\n```{language}\n" + "\n".join(lines) + "\n```\nDone."
    found = split(text, 100)
    assert len(found) > 1
    code_lines = []
    for part in found:
        for match in re.finditer(r"```([^\n]*)\n(.*?)\n```", part, re.DOTALL):
            assert match[1] == language
            code_lines += match[2].split("\n")
    assert code_lines == lines


def test_a_cluster_longer_than_the_limit_is_cut():
    text = "a" + "\u0301" * 500
    assert "".join(split(text, 100)) == text


def test_short_text_stays_as_it_is():
    assert split("hello ``` you") == ["hello ``` you"]
    assert split("") == []
    assert split(" \n ") == []
    assert split("a" * 2000) == ["a" * 2000]
    assert split("🙂" * 2000) == ["🙂" * 2000]  # code points, not UTF-16 units


def test_an_open_block_is_closed():
    assert split("see\n```py\nx = 1") == ["see\n```py\nx = 1\n```"]
    assert split("```py\nx = 1\n") == ["```py\nx = 1\n```"]
    assert split("see\n```py\n") == ["see\n"]  # nothing in it yet


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("a" * 55 + "\n\n" + "b" * 30 + "\n" + "c. c " * 20, "a" * 55 + "\n\n"),
        ("a" * 60 + "\n" + "b. b " * 20, "a" * 60 + "\n"),
        ("a" * 60 + ". bbb " + "c" * 80, "a" * 60 + ". "),
        ("a" * 60 + " bbb " + "c" * 80, "a" * 60 + " bbb "),
        ("a" * 10 + " " + "c" * 200, "a" * 10 + " "),
        ("a" * 70 + "\n```\ncode\ncode\ncode\ncode\ncode\ncode\n```", "a" * 70 + "\n"),
    ],
)
def test_cuts_where_a_reader_pauses(text, first):
    assert split(text, 100)[0] == first


def test_parts_come_one_by_one():
    text = "word " * 200_000
    assert len(list(islice(parts(text), MAX_PARTS))) == MAX_PARTS


def test_inline_code_is_not_cut():
    text = "a " * 33 + "`[x](https://example.org) and more`" + " b" * 40
    assert any("`[x](https://example.org) and more`" in part for part in split(text, 100))


# ------------------------------------------------------------------------------------------------------- neutralise


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("see [my bank](https://example.org/x)!", "see [my bank] (https://example.org/x)!"),
        ("[a](b)", "[a] (b)"),
        ("[a](<https://example.org> 'title')", "[a] (<https://example.org> 'title')"),
        ("join discord.gg/abc", "join discord[.]gg/abc"),
        ("https://DISCORD.com/invite/abc", "https://DISCORD[.]com/invite/abc"),
        ("https://discordapp.com//invite/abc", "https://discordapp[.]com//invite/abc"),
        ("https://discord%2Egg/abc discord。gg/abc", "https://discord[.]gg/abc discord[.]gg/abc"),
        ("https://discord.com/developers is fine", "https://discord.com/developers is fine"),
        ("@everyone and @here", "@\u200beveryone and @\u200bhere"),
        ("<@12> <@!12> <@&12> <#12>", "<@\u200b12> <@\u200b!12> <@\u200b&12> <#12>"),
        ("`f[0](x) discord.gg/a`", "`f[0](x) discord.gg/a`"),
        ("```py\nf[0](x)\n# discord.gg/a\n```", "```py\nf[0](x)\n# discord.gg/a\n```"),
        ("`@everyone`", "`@\u200beveryone`"),
        # What only looks like code: Discord shows the link.
        ("\\`[a](https://x.org)`", "\\`[a] (https://x.org)`"),
        ("[`](https://x.org)`", "[`] (https://x.org)`"),
        ("[a] `](https://x.org)`", "[a] `] (https://x.org)`"),
        ("[```](https://x.org)```", "[```] (https://x.org)```"),
        ("`a\nb` [x](https://x.org) `c`", "`a\nb` [x] (https://x.org) `c`"),
        ("``a` [x](https://x.org) `", "``a` [x] (https://x.org) `"),
        ("```\n[x](https://x.org)", "```\n[x] (https://x.org)"),
        ("`" + "c" * 600 + "[x](https://x.org)`", "`" + "c" * 600 + "[x] (https://x.org)`"),
    ],
)
def test_neutralise(text, safe):
    assert neutralise(text) == safe
    assert neutralise(safe) == safe


@given(anything)
def test_neutralise_is_done_once(text):
    assert neutralise(neutralise(text)) == neutralise(text)


@given(st.text(st.sampled_from("ab []()\n.@"), max_size=200))
def test_outside_code_no_link_remains(text):
    assert "](" not in neutralise(text + "[a](https://example.org)")


@given(document, st.sampled_from(["@everyone", "@here", "<@1>", "<@!1>", "<@&1>"]), document)
def test_no_mention_remains_anywhere(before, mention, after):
    for part in split(neutralise(before + mention + after), 100):
        assert mention not in part


@given(st.text(st.sampled_from("ab žé😀\n.,!?"), max_size=200))
def test_ordinary_words_are_left_alone(text):
    assert neutralise(text) == text


def test_many_backticks_take_no_time():
    assert neutralise("`" * 20_000)
    assert neutralise("".join("`" * n + " " for n in range(1, 300)))
