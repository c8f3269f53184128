"""What pages, commands and the bot promise people, each with the test that holds it. A new promise needs one, too."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from talkalike.website.services import SiteServices

pytest_plugins = ("website_site",)

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "talkalike"
PROMISE = re.compile(
    r"\b(never (?:see|store|keep|train|show)|nobody (?:but|else)|nothing (?:you|leaves|is kept)|only (?:you|if you|the"
    r" owner)\b(?! (?:read|may admin))|no name|random name|(?<!choose )another name here|not under your name|"
    r"stays? (?:hidden|as it is|in the)|for good|any time|no way back|blind to|nowhere|not a human|"
    r"are deleted after|your account can read|exported|used (?:to|for) (?:train|improve))",
    re.IGNORECASE,
)

# By the file and the test that fails where it is not true: parts of the sentences as they stand in the source.
PROMISES: dict[str, dict[str, list[str]]] = {
    "test_website_privacy.py": {
        "test_only_its_owner_opens_a_conversation": [
            "On this site only you can open your conversations.",
        ],
        "test_an_invitation_says_everything_that_it_opens_and_nothing_else": [
            "Whoever runs the computer that the site is on could read",
        ],
        "test_the_administration_shows_nobodys_words": [
            "What people and the double said to each other is not",
        ],
    },
    "test_promises.py": {
        "test_a_judges_name_is_stored_nowhere_with_what_they_said": [
            "a cookie in this browser keeps a random name",
            ", not under your name.",
            ": no name, no address.",
            "Your votes are kept under a random name",
        ],
        "test_who_stops_a_blind_test_keeps_what_they_answered": [
            "You may stop at any time.",
            "What you answered until then stays in the result.",
        ],
        "test_the_stand_in_for_discord_asks_nobody_else": [
            "nothing leaves this computer",
        ],
    },
    "test_local_discord_alone.py": {
        "test_its_command_serves_a_world_with_a_bot_until_ctrl_c": ["Ctrl-C ends it; nothing is kept."],
    },
    "test_website_blindness.py": {
        "test_no_page_before_the_vote_names_the_models": [
            "stays hidden until the batch is done",
            "The names stay hidden: there are pairs left",
        ],
    },
    "test_website_judge.py": {
        "test_after_closing_and_after_the_names_nothing_is_taken": [
            "Showing the names ends a batch for good.",
        ],
        "test_consent_is_asked_and_kept": [
            "You can change this at any time.",
        ],
    },
    "test_judging_exchange.py": {
        "test_only_who_agreed_is_exported": [
            "Only if you agree may they also be exported",
            "What you say here stays in the statistics only.",
        ],
        "test_guesses_go_out_as_preferences_only_if_the_owner_says_so": [
            "Guesses are counted here and exported nowhere.",
            "Guesses of those who agreed to it are exported",
            "Guesses of those who agree may be exported",
            "Guesses are counted, and not exported",
            "They are used for training only if the owner of the double says so",
        ],
        "test_what_was_said_on_discord_goes_out_only_with_the_askers_consent": [
            "may be used to improve me.",
            "Nothing you write or rate is used to train me.",
        ],
    },
    "test_website_guess.py": {
        "test_people_in_the_context_have_other_names": [
            "has another name here",
        ],
    },
    "test_website_insights.py": {
        "test_what_was_written_is_for_the_owner_alone": [
            "Only you see this.",
            "Only you see this page.",
        ],
    },
    "test_website_runs.py": {
        "test_a_model_is_promoted": [
            "You can switch back to the current model at any time.",
        ],
    },
    "test_discord_commands_talk.py": {
        "test_privacy_switches": [
            "Allow or forbid using your ratings to improve me",
        ],
        "test_context_is_shown_in_private_with_reasons": [
            "(only you see the answer)",
        ],
    },
    "test_discord_judging.py": {
        "test_the_words_are_for_training_only_with_the_askers_consent": [
            "Nothing you judge is used for training unless",
        ],
    },
    "test_store_people.py": {
        "test_old_replies_go_by_the_days_of_their_server": [
            "Records of replies here are deleted after",
        ],
        "test_forgetting_a_person_leaves_nothing_of_them_and_everything_of_others": [
            "There is no way back.",
            "Nothing is kept about you.",
        ],
    },
    "test_discord_tasks.py": {
        "test_a_task_is_shown_changed_and_removed": [
            "True removes it; there is no way back",
        ],
    },
    "test_website_tasks.py": {
        "test_the_owner_adds_changes_and_removes_a_task": [
            "All its versions and pictures go; there is no way back.",
        ],
    },
    "test_discord_judging_guess.py": {
        "test_nothing_is_kept_before_somebody_agrees": [
            "your guesses are kept under a random name",
        ],
    },
    "test_discord_judging_pairs.py": {
        "test_a_vote_is_changed_taken_back_and_final_once_the_names_are_known": [
            "Your vote stays as it is now.",
            "so your vote stays as it is.",
        ],
    },
    "test_discord_replies.py": {
        "test_people_who_opted_out_are_not_seen_nor_answered": [
            "stops that.",
        ],
    },
    "test_permissions.py": {
        "test_decisions_agree_with_the_slow_reading": [
            "I answer nobody but",
        ],
    },
    "test_cli_discord.py": {
        "test_the_tokens_file_is_for_its_owner_only": [
            "It is kept in a file that only you can read",
        ],
        "test_a_bot_that_is_ready": [
            "and it is shown nowhere.",
        ],
    },
    "test_privacy.py": {
        "test_nothing_in_a_workspace_is_open_to_others": [
            "only your account can read the workspace",
        ],
    },
    "test_discord_context.py": {
        "test_the_disclosure_names_the_owner": [
            "a program that writes like them, not a human being.",
        ],
    },
}
KNOWN = [said for tests in PROMISES.values() for kept in tests.values() for said in kept]


def texts_of(file: Path) -> Iterator[str]:
    """Sentences that people may read: texts of the code but its documentation, or a page without its markup."""
    source = file.read_text(encoding="utf-8")
    if file.suffix == ".html":
        bare = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|</?(?:strong|code|a|span)\b[^>]*>", "", source)
        yield from re.sub(r"<[^>]+>", "\n", bare).split("\n")
        return
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    doc = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in doc:
            yield node.value


@cache
def sentences() -> list[tuple[str, str]]:
    folders = ("website", "discord_bot", "cli", "../local_discord", "store/judging")
    files = [file for folder in folders for kind in ("py", "html") for file in (PACKAGE / folder).rglob(f"*.{kind}")]
    return [
        (str(file.relative_to(PACKAGE.parent)), sentence.strip())
        for file in sorted(files)
        for text in texts_of(file)
        for sentence in re.split(r"(?<=[.?!])\s+", text)
        if " " in sentence.strip()
    ]


def test_every_promise_is_held_by_a_test() -> None:
    found = [(where, said) for where, said in sentences() if PROMISE.search(said)]
    assert len(found) >= len(KNOWN) // 2
    new = [f"{where}: {said}" for where, said in found if not any(known in said or said in known for known in KNOWN)]
    assert not new, "These promise something and name no test:\n" + "\n".join(new)


def test_what_is_listed_is_promised() -> None:
    assert [each for each in KNOWN if not any(each in text for _, text in sentences())] == []


@pytest.mark.parametrize(("file", "held"), PROMISES.items())
def test_the_tests_are_there(file: str, held: dict[str, list[str]]) -> None:
    source = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert held.keys() <= set(re.findall(r"^(?:async )?def (test_\w+)", source, re.MULTILINE))


# --------------------------------------------------------------------------------------- those that had no test before
def test_a_judges_name_is_stored_nowhere_with_what_they_said(
    person: Callable[..., Any], services: SiteServices
) -> None:
    """Judgements, guesses and judges carry the random name alone: no account's name, no address."""
    from talkalike.store.tables import judging_tables as tables
    from website_judging import make_batch

    batch = services.store.call(make_batch, 2)
    who = person("judge", name="annabel-realname")
    page = who.get(f"/judge/{batch}/", REMOTE_ADDR="203.0.113.77").content.decode()
    found = re.search(r'data-url="([^"]+)"', page)
    assert found
    who.post(f"{found[1]}vote/", {"choice": "left", "seconds": ""}, REMOTE_ADDR="203.0.113.77")

    def rows() -> list[str]:
        kept = (tables.Judge, tables.Judgement, tables.Guess, tables.Assignment)
        return [str(values) for table in kept for values in table.objects.values()]

    stored = services.store.call(rows)
    assert len(stored) >= 3
    assert [row for row in stored if "annabel" in row or "203.0.113" in row] == []


def test_who_stops_a_blind_test_keeps_what_they_answered(guest: Callable[[str], Any], services: SiteServices) -> None:
    from talkalike.store.judging import guesses
    from talkalike.store.tables import judging_tables as tables
    from website_guessing import make_round

    number = services.store.call(make_round, 4)
    friend = guest("guesser")
    page = friend.post(f"/guess/{number}/start/", {"agreed": "yes"}, follow=True).content.decode()
    asked = re.search(r'name="asked" value="([^"]+)"', page)
    assert asked
    friend.post(f"/guess/{number}/guess/", {"asked": asked[1], "side": "left"})
    friend.post("/logout/")
    assert friend.get(f"/guess/{number}/").status_code == 302  # is a stranger now
    assert services.store.call(tables.Guess.objects.count) == 1
    assert sum(int(row.taken_for_real.n) for row in services.store.call(guesses.results)) == 1


def test_the_stand_in_for_discord_asks_nobody_else() -> None:
    """Its page names no address of another computer, and a browser would not follow one."""
    from local_discord import page

    names = {"http://www.w3.org/2000/svg"}  # what a drawing is, and no address that anybody asks
    for file in (PACKAGE.parent / "local_discord" / "static").iterdir():
        found = re.findall(r"(?:https?|wss?)://[\w.]+[^\s\"'`)<]*", file.read_text(encoding="utf-8"))
        assert {each for each in found if "${" not in each} <= names, file.name
    assert "default-src 'none'" in page._PAGE_POLICY
    allowed = re.findall(r"(?:https?|wss?):[^\s;]*|\*", page._PAGE_POLICY)
    assert allowed == [], page._PAGE_POLICY
