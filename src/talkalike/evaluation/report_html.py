"""The likeness report as one HTML file: no script, nothing from outside, light and dark, every user text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from talkalike.evaluation import plots
from talkalike.evaluation.habits import HabitScore
from talkalike.evaluation.intervals import Estimate
from talkalike.evaluation.likeness import LikenessReport, Sample
from talkalike.evaluation.words import headline, reasons, show, summary_table

OPEN_SAMPLES = 6  # the rest is folded away
LONGEST_SHOWN = 600  # characters of a generated message


def report_html(report: LikenessReport) -> str:
    """A whole page for a person to read."""
    title = f"Does {report.double} sound like {report.author}?"
    css = files("talkalike.evaluation").joinpath("report.css").read_text(encoding="utf-8")
    parts = [
        _header(report, title),
        _hero(report),
        _plots(report),
        _samples(report),
        _numbers(report),
        _habits(report.habits.habits),
        _copies(report),
        _method(report),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{css}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _header(report: LikenessReport, title: str) -> str:
    label = '<div class="label">Fictional sample: people and messages are invented</div>' if report.fictional else ""
    return (
        f"<header>{label}<h1>{escape(title)}</h1>"
        f'<p class="lead">{report.counts.replies} moments from chats that were kept out of training. '
        "What was really said there, and what two models say instead.</p>"
        '<div class="legend">'
        f'<span><b class="author">{escape(report.author)}</b> the real replies</span>'
        f'<span><b class="double">{escape(report.double)}</b> the double</span>'
        f'<span><b class="base">{escape(report.base)}</b> the base model it was made from</span>'
        "</div></header>"
    )


def _hero(report: LikenessReport) -> str:
    tiles = "".join(
        f'<div class="tile"><strong>{escape(value)}</strong><span>{escape(text)}</span></div>'
        for value, text in _tiles(report)
    )
    return (
        f'<section class="card"><p class="verdict">{escape(headline(report))}</p>{_gauge(report)}'
        f'<div class="tiles">{tiles}</div></section>'
    )


def _gauge(report: LikenessReport) -> str:
    style = report.style
    if style is None or style.recovery.value is None:
        return ""
    found, fine = style.recovery, style.recovery_log_odds
    value = found.value or 0.0
    left, right = _place(found.low), _place(found.high)
    pointer = note = ""
    if fine.value is not None:
        pointer = f'<div class="fine" style="left:{_place(fine.value):.1f}%"></div>'
        note = (
            f" The small arrow is the finer measure, by how sure the classifier is: {show(fine, percent=True)}."
            " It goes on moving where the count is all or nothing."
        )
    return (
        '<div class="gauge"><div class="track">'
        f'<div class="band" style="left:{left:.1f}%;width:{max(right - left, 0.5):.1f}%"></div>'
        f'<div class="mark" style="left:{_place(value):.1f}%"></div>'
        f'<div class="value" style="left:{min(max(_place(value), 3), 97):.1f}%">{round(100 * value)}%</div>'
        f"{pointer}</div>"
        f'<div class="ends"><span class="base">0%: no more like {escape(report.author)} than the base</span>'
        f'<span class="author">100%: like {escape(report.author)}</span></div>'
        f'<p class="note">Style recovery: pools of {style.pool_size} replies that a classifier of writing habits takes '
        f"for {escape(report.author)}'s. The pale band is the 95% interval.{escape(note)}</p></div>"
    )


def _place(value: float | None) -> float:
    return 100 * min(max(value or 0.0, 0.0), 1.0)


def _tiles(report: LikenessReport) -> Iterable[tuple[str, str]]:
    if report.bits is not None and report.bits.gain.value is not None:
        saved, base = report.bits.gain.value, report.bits.base.bits_per_character.value or 1.0
        yield f"{saved / base:.0%} less", f"surprised by {report.author}'s real words than the base model"
    auc = report.two_sample.double.value
    if auc is not None:
        yield f"{auc:.0%}", "of the time a fresh classifier picks the real one of two replies (50% is guessing)"
    distance = report.habits.double.value
    if distance is not None:
        yield f"{distance:.1f}×", f"as far in typing habits as {report.author} is from their earlier self"
    copied, own = report.copying.double.from_anyone.value, report.copying.real.from_anyone.value
    if copied is not None and own is not None:
        yield (
            f"{copied:.0%}",
            f"of its replies repeat a long stretch of a training message ({own:.0%} of the real ones do)",
        )


def _plots(report: LikenessReport) -> str:
    figures = []
    if report.style is not None and report.style.real.share.value is not None:
        figures.append(
            _figure(
                "Taken for the author",
                plots.shares_plot(report.style),
                f"Share of pools of {report.style.pool_size} replies that the classifier attributes to the author. "
                "Other people of the same chats should stay near 0%.",
            )
        )
    figures.append(
        _figure(
            "Found out",
            plots.found_out_plot(report.two_sample),
            "How often a classifier made for this picks the real reply of a real and a generated one. The author's own "
            "dot compares later replies with earlier ones: nobody writes the same forever.",
        )
    )
    if report.bits is not None:
        figures.append(
            _figure(
                "Surprise",
                plots.bits_plot(report.bits),
                f"Over {report.bits.messages} real messages ({report.bits.characters:,} characters). The lifts say "
                "whether the model knows who is speaking, and whether it listens.",
            )
        )
    if report.habits.habits:
        figures.append(
            _figure(
                "Habits",
                plots.habits_plot(report.habits),
                "Distance from the author's habits in units of the author's own change over time. "
                "In the shaded half, the model is as close to the author as the author is.",
                kind="tall",
            )
        )
    figures.append(
        _figure(
            "Length of messages",
            plots.lengths_plot(report.lengths),
            "The shaded hill is the author; a good double lies on it.",
        )
    )
    return f'<h2>In pictures</h2><div class="grid">{"".join(figures)}</div>'


def _figure(title: str, svg: str, caption: str, *, kind: str = "") -> str:
    return f'<figure class="card {kind}"><h3>{title}</h3><figcaption>{caption}</figcaption>{svg}</figure>'


def _samples(report: LikenessReport) -> str:
    if not report.samples:
        return ""
    shown = [_sample(report, sample) for sample in report.samples]
    folded = "".join(shown[OPEN_SAMPLES:])
    more = f"<details><summary>{len(shown) - OPEN_SAMPLES} more</summary>{folded}</details>" if folded else ""
    return (
        '<h2>Side by side</h2><p class="lead">Spread evenly over the held-out chats, not chosen.</p>'
        + "".join(shown[:OPEN_SAMPLES])
        + more
    )


def _sample(report: LikenessReport, sample: Sample) -> str:
    context = "".join(
        f'<p class="said"><span class="who{" author" * (turn.speaker == report.author)}">{escape(turn.speaker)}</span>'
        f'<span class="user">{escape(_shortened(turn.text))}</span></p>'
        for turn in sample.context
    )
    answers = "".join(
        f'<div><h3 class="{kind}">{escape(name)}</h3>{_bubbles(messages, kind)}</div>'
        for kind, name, messages in (
            ("author", f"{report.author}, really", sample.real),
            ("double", report.double, sample.double),
            ("base", report.base, sample.base),
        )
    )
    return (
        f'<article class="card sample"><div class="context">{context}</div>'
        f'<div class="answers">{answers}</div></article>'
    )


def _bubbles(messages: Sequence[str], kind: str) -> str:
    if not any(text.strip() for text in messages):
        return '<p class="empty">says nothing</p>'
    return "".join(
        f'<p class="bubble of-{kind} user">{escape(_shortened(text))}</p>' for text in messages if text.strip()
    )


def _shortened(text: str) -> str:
    return text.strip() if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN].strip() + " […]"


def _numbers(report: LikenessReport) -> str:
    rows = "".join(
        f"<tr><th>{escape(row.measure)}</th>"
        + "".join(_number(value) for value in (row.double, row.base, row.author))
        + f'<td class="number">{escape(row.ideal)}</td><td class="meaning">{escape(row.meaning)}</td></tr>'
        for row in summary_table(report)
    )
    return (
        '<h2>In numbers</h2><p class="lead">With 95% bootstrap intervals below.</p><div class="card scroll"><table>'
        '<thead><tr><th></th><th class="double">double</th><th class="base">base</th><th class="author">author</th>'
        f"<th>ideal</th><th>what it means</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _number(text: str) -> str:
    value, _, interval = text.partition(" [")
    small = f"<small>{escape(interval.rstrip(']').replace(', ', ' to '))}</small>" if interval else ""
    return f'<td class="number">{escape(value)}{small}</td>'


def _habits(habits: Sequence[HabitScore]) -> str:
    if not habits:
        return ""
    rows = "".join(
        f"<tr><th>{escape(habit.name)}</th><td>{escape(habit.level_name)}</td>"
        + "".join(
            f'<td class="number">{_level(value, is_share=habit.is_share)}</td>'
            for value in (habit.level_training, habit.level_real, habit.level_double, habit.level_base)
        )
        + f'<td class="number">{_distance(habit.double)}</td><td class="number">{_distance(habit.base)}</td></tr>'
        for habit in habits
    )
    return (
        '<h2>Habits, one by one</h2><p class="lead">The last two columns are distances of the whole distribution, in '
        "units of the author's own (1.0 is as close as the author is to themself).</p>"
        '<div class="card scroll"><table><thead><tr><th></th><th>average of</th><th class="author">author, earlier</th>'
        '<th class="author">author, held out</th><th class="double">double</th><th class="base">base</th>'
        '<th class="double">distance, double</th><th class="base">distance, base</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _level(value: float, *, is_share: bool) -> str:
    return f"{value:.1%}" if is_share else f"{value:.1f}"


def _distance(found: Estimate) -> str:
    return show(found, digits=1).split(" [")[0]


def _copies(report: LikenessReport) -> str:
    copying = report.copying
    if not copying.longest:
        text = "None of the double's replies repeats a long stretch of a training message."
        return f'<h2>Copied word for word</h2><p class="lead">{text}</p>'
    items = "".join(
        f'<li><span class="user">{escape(_shortened(copy.span))}</span> '
        f'<span class="who">said by {escape(copy.speaker)}, {len(copy.span)} characters</span></li>'
        for copy in copying.longest
    )
    return (
        f'<h2>Copied word for word</h2><p class="lead">The longest stretches (at least {copying.words} words or '
        f"{copying.characters} characters) that the double took from training messages. "
        "Look here for what should stay private.</p>"
        f'<div class="card"><ul>{items}</ul></div>'
    )


def _method(report: LikenessReport) -> str:
    counts, sampling, style = report.counts, report.sampling, report.style
    notes = [*report.notes, *reasons(report)]
    notes.append(
        f"Held out: {counts.heldout_replies} replies of {report.author} in {counts.conversations} "
        f"{'conversation' if counts.conversations == 1 else 'conversations'}, by whole sessions; "
        f"{counts.replies} of them were answered by each model."
    )
    notes.append(
        f"Both models: the same contexts, temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, "
        f"top-k {sampling.top_k}, min-p {sampling.min_p:g}, at most {sampling.max_tokens} tokens, seed {report.seed}. "
        f"Cut off at the limit: {counts.cut_off_double} of the double's, {counts.cut_off_base} of the base's."
    )
    if style is not None:
        notes.append(
            f"The style classifier (character n-grams, logistic regression) learned {report.author} from "
            f"{style.author_messages} earlier messages against as many by {style.other_speakers} other people of the "
            f"same chats. It judges pools of {style.pool_size} replies, because one message alone says too little."
        )
    notes.append(
        f"Training messages searched for copies: {counts.training_messages:,}. Intervals are 95% bootstrap intervals "
        "over replies (Wilson's for copies); arms that answered the same contexts are resampled together."
    )
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<h2>How this was measured</h2><div class="card note"><ul>{items}</ul></div>'
