"""What a run of /test found, as a message with files: scores with their change, what went wrong, the worst reply."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import discord

from talkalike.chat import scenario_scores as scoring
from talkalike.chat.scenario_scores import Score
from talkalike.discord_bot.commands.gate import NOBODY
from talkalike.discord_bot.markers import NOTICE_SIGN
from talkalike.store.test_runs import TestRunRow

BETWEEN_EDITS = 3.0  # seconds
FOUND = 10  # violations listed in the message; the files have all
SCORES = {
    "likeness": ("Likeness", "{:.2f}", "{:+.2f}"),
    "relevance": ("Relevance", "{:+.2f}", "{:+.2f}"),
    "safety": ("Safe replies", "{:.0%}", "{:+.0%}"),
    "answered": ("Answered", "{:.0%}", "{:+.0%}"),
    "first_seconds": ("First words", "{:.2f} s", "{:+.2f} s"),
    "seconds": ("Whole reply", "{:.2f} s", "{:+.2f} s"),
}


@dataclass(slots=True, kw_only=True)
class Result:
    """One case, answered. `link` leads to the posted reply."""

    scenario: str
    case: str
    prompt: str
    reply: tuple[str, ...]
    score: Score
    problem: str = ""
    link: str = ""

    @property
    def found(self) -> list[str]:
        """The violations and problems of the reply, in words."""
        return [*self.score.violations, *filter(None, [self.problem])]

    def as_dict(self) -> dict[str, Any]:
        """For the store and the JSON file."""
        return {
            "scenario": self.scenario,
            "case": self.case,
            "prompt": self.prompt,
            "reply": list(self.reply),
            "problem": self.problem,
            "link": self.link,
            **asdict(self.score),
        }

    def embed(self) -> discord.Embed:
        """What stands under the posted reply; its footer keeps it out of every conversation."""
        found = self.found or ([] if self.reply else ["(silence)"])
        lines = [f"**{self.scenario}: {self.case}**", *(f"> {line}" for line in self.prompt[:600].split("\n"))]
        text = "\n".join(lines + [f"⚠ {one}" for one in found])
        return discord.Embed(description=text[:4000]).set_footer(text=NOTICE_SIGN)


@dataclass(slots=True, kw_only=True)
class Report:
    """A run on its way, and its end."""

    model: str
    cases: int
    results: list[Result] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    scores: dict[str, float | None] = field(default_factory=dict)
    changes: dict[str, float] = field(default_factory=dict)
    compared_with: str = ""
    problem: str = ""
    finished: bool = False
    _shown_at: float = 0.0

    def due(self) -> bool:
        """Whether it is time to show the progress again."""
        return time.monotonic() - self._shown_at >= BETWEEN_EDITS

    def finish(self, before: TestRunRow | None) -> None:
        """Sums up, and compares with the run before, over the cases that both have."""
        self.finished = True
        self.scores = scoring.summary([result.score for result in self.results])
        earlier = {(one["scenario"], one["case"]): _score(one) for one in before.results} if before is not None else {}
        both = [one for one in self.results if (one.scenario, one.case) in earlier]
        if before is not None and both:
            then = scoring.summary([earlier[one.scenario, one.case] for one in both])
            self.changes = scoring.changes(scoring.summary([one.score for one in both]), then)
            when = discord.utils.format_dt(before.began_at, "R")
            self.compared_with = f"{before.model}, {when}, over the {len(both)} cases that both runs have"

    def break_off(self, why: str) -> None:
        """Ends without scores, so that nothing is compared with half a run."""
        self.problem, self.finished, self.scores = why, False, {}

    async def show(self, message: discord.Message, *, files: bool = False) -> None:
        """Edits the message with the bot's own rights, which do not expire."""
        self._shown_at = time.monotonic()
        if files:
            await message.edit(embed=self.embed(), attachments=self.files(), allowed_mentions=NOBODY)
        else:
            await message.edit(embed=self.embed(), allowed_mentions=NOBODY)

    def embed(self) -> discord.Embed:
        """The report as a message."""
        embed = discord.Embed(title=f"Test of {self.model}"[:200]).set_footer(text=NOTICE_SIGN)
        if self.problem:
            embed.description = f"Broken off after {len(self.results)} of {self.cases}: {self.problem[:500]}"
        elif not self.finished:
            embed.description = f"Answering… {len(self.results)} of {self.cases}"
        else:
            lines = [headline(self.scores, self.changes)]
            lines.append(
                f"Change since: {self.compared_with}."
                if self.compared_with
                else "No earlier run has these cases: nothing to compare with."
            )
            embed.description = "\n".join(lines)
            self._add_found(embed)
        return embed

    def files(self) -> list[discord.File]:
        """Everything as JSON, and as a table."""
        table = io.StringIO()
        rows = [{**result.as_dict(), "reply": "\n".join(result.reply)} for result in self.results]
        rows = [{key: _cell(value) for key, value in row.items()} for row in rows]
        writer = csv.DictWriter(table, fieldnames=list(rows[0]) if rows else ["scenario"])
        writer.writeheader()
        writer.writerows(rows)
        whole = {
            "model": self.model,
            "scores": self.scores,
            "changes": self.changes,
            "skipped": self.skipped,
            "results": [result.as_dict() for result in self.results],
        }
        text = json.dumps(whole, ensure_ascii=False, indent=2)
        return [
            discord.File(io.BytesIO(text.encode()), filename="test.json"),
            discord.File(io.BytesIO(table.getvalue().encode("utf-8-sig")), filename="test.csv"),
        ]

    def _add_found(self, embed: discord.Embed) -> None:
        worst = scoring.worst([result.score for result in self.results])
        if worst is not None:
            result = self.results[worst]
            name = f"{result.scenario}: {result.case}"
            embed.add_field(name="Look at this one first", value=f"[{name}]({result.link})" if result.link else name)
        found = [
            f"- {result.scenario}, {result.case}: {', '.join(result.found)}" for result in self.results if result.found
        ]
        if found:
            more = f"\n… and {len(found) - FOUND} more, in the files" if len(found) > FOUND else ""
            embed.add_field(name=f"Problems ({len(found)})", value="\n".join(found[:FOUND])[:900] + more, inline=False)
        if self.skipped:
            embed.add_field(name="Left out", value="\n".join(self.skipped)[:1000], inline=False)


def headline(scores: Mapping[str, float | None], changes: Mapping[str, float]) -> str:
    """A line for each score, with its change where there is one."""
    lines = []
    for name, (title, value_form, change_form) in SCORES.items():
        value = scores.get(name)
        text = "not known" if value is None else value_form.format(value)
        change = f" ({change_form.format(changes[name])})" if name in changes else ""
        lines.append(f"{title}: **{text}**{change}")
    return "\n".join(lines)


def _score(stored: Mapping[str, Any]) -> Score:
    """A score as the store gives it back."""
    known: dict[str, Any] = {one.name: stored.get(one.name) for one in fields(Score)}
    return Score(**{**known, "violations": tuple(known["violations"] or ()), "answered": bool(known["answered"])})


def _cell(value: Any) -> Any:
    """Texts that a spreadsheet would take for a formula are quoted."""
    if isinstance(value, list | tuple):
        value = "; ".join(map(str, value))
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
