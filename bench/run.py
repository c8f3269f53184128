"""`make bench`: every number that the documentation claims, beside its competitor, measured in one run on this machine.

Makes a scratch workspace with the default base, then runs the other scripts of this folder one after another, each in
a process of its own, and prints a row as soon as it is known. `--only training bot` runs some parts, `--irc FILE`
adds what needs a real IRC export.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
Measured = tuple[str, str, str]  # what, measured, wanted


def run(script: str, *arguments: str) -> list[dict[str, Any]]:
    """The JSON documents that a benchmark prints, one a line; its progress goes to the terminal."""
    print(f"==> {script} {' '.join(arguments)}", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    text = done.stdout.strip()
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.split("\n") if line.startswith('{"')]  # opponents print too


def workspace(folder: Path) -> Path:
    """A workspace with the default base in it."""
    command = [sys.executable, "-m", "talkalike.cli.main"]
    subprocess.run([*command, "init", str(folder)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*command, "models", "fetch", "-w", str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder


def first_path_rows(folder: Path, gguf: Path | None) -> Iterator[Measured]:
    """From an export to a double: start-up, import, the engine."""
    base = folder / "models" / "smollm2-135m-instruct"
    start = run("start_up.py", "--workspace", str(folder))[0]
    yield "talkalike --help", f"{start['help_seconds']:.2f} s", "≤ 0.4 s"
    yield "chat: first word from a cold process", f"{start['chat_first_word_seconds']:.1f} s", "≤ 6 s"
    for size in run("import_messenger.py", "100000", "1000000"):
        wanted = "≤ 60 s and ≤ 1,000 MB" if size["messages"] == 1_000_000 else ""
        yield (
            f"import of {size['messages']:,} messages",
            f"{size['seconds']:.1f} s, {size['peak_rss_mb']:.0f} MB",
            wanted,
        )
    for found in run("import_formats.py"):
        measured = f"{found['seconds']:.1f} s, {found['peak_rss_mb']:.0f} MB"
        yield f"import of {found['messages']:,} messages, {found['format']}", measured, "≤ 60 s and ≤ 1,000 MB"
    damaged = run("import_formats.py", "--mutated", "20000")[0]
    raised = f"{sum(damaged['raised'].values())} raised, {damaged['peak_rss_mb']} MB"
    yield f"{damaged['mutated']:,} damaged exports of all formats", raised, "0 raised"
    answer = run("engine_latency.py", str(base), *(["--gguf", str(gguf)] if gguf else []))[0]
    warm = answer["first_token"]["cold_over_warm"]
    yield "next reply's first token, 2,000 tokens of chat", f"1/{warm:.0f} of a cold prefill", "≤ 1/20"
    for name, value in answer["decode_tokens_per_s"].items():
        yield f"decoding, {name}", f"{value:.1f} tokens/s", "as it is"


def doubles_rows(folder: Path) -> Iterator[Measured]:
    """A hundred doubles on one base beside one merged double."""
    many = run("many_doubles.py", str(folder / "models"))[0]
    what = f"{many['doubles']} doubles on one base in one process"
    weights = f"{many['base_mb'] + many['adapters_mb']:.0f} MB of weights"
    share = f"{many['memory_over_weights']:.2f} times {weights}"
    yield f"{what}: memory", share, "≤ 1.2 times"
    for kind, ratio in many["over_merged"].items():
        throughput = f"{ratio['wall']:.2f} times one merged double"
        yield f"{many['at_once']} replies at once, {kind}: tokens/s", throughput, "≥ 0.7 times"
    yield (
        "one reply alone, a double on a shared base",
        f"{many['one_reply_over_merged']['wall']:.2f} times merged",
        "as it is",
    )


def training_rows(folder: Path, irc: Path | None) -> Iterator[Measured]:
    """Fine-tuning beside TRL."""
    speed = run("training_speed.py", "--rounds", "1")[0]
    for name, times in speed["times_faster_than"].items():
        yield f"training, loss tokens/s beside {name}", f"{times:.1f} times", f"≥ {speed['wanted'][name]} times"
    if irc is not None:
        models = str(folder / "models")
        sooner = run("learning_speed.py", str(irc), "--speaker", "Dr_Willis", "--replies", "96", "--models", models)[0]
        times = sooner["times_sooner"]
        yield "TRL's held-out loss after an epoch per reply, reached", f"{times} times sooner", "≥ 8 times"


def bot_rows(folder: Path) -> Iterator[Measured]:
    """The double on Discord: under load, and with the default base beside the straightforward bot."""
    bot = run("discord_bot.py", "--addressed", "0.2", "--workspace", str(folder))[0]
    warm, busy, model = bot["scripted"]["warm"], bot["scripted"]["sustained"], bot["model"]
    plain = bot["opponent"]["in_the_event_loop"]
    delay = f"{warm['event_to_engine_p99_ms']:.0f} ms"
    yield f"event to engine request, p99, {bot['scripted']['channels']:,} warm channels", delay, "≤ 20 ms"
    lost = f"{busy['lost']} lost, {busy['doubled']} doubled"
    share = f"{busy['addressed'] / busy['messages']:.0%} of them addressed"
    yield f"{busy['messages_per_s']:.0f} messages/s for {busy['seconds']:.0f} s, {share}", lost, "0 lost, 0 doubled"
    yield "every message addressed: kept up with", f"{bot['scripted']['everything_answered_up_to']:.0f}/s", "200/s"
    memory = busy["memory_mb"]
    held = f"{memory['at_25_percent']:.0f} and {memory['at_the_end']:.0f} MB"
    yield "the bot's memory after a quarter of that, and at the end", held, "flat"
    first = model["first_words"]["warm_s"]
    yield "first words in a warm channel of 2,000 tokens", f"{first:.2f} s", "< 1 s"
    yield "the same, straightforward bot", f"{plain['first_words']['warm_s']:.2f} s", "as it is"
    times = model["at_once_over_one_after_another"]
    yield "32 channels at once over one after another", f"{times:.1f} times the tokens/s", "≥ 3 times"
    yield "the same 32 channels at once", f"{model['at_once']['tokens_per_s']:.0f} tokens/s", "as it is"
    yield "the same, straightforward bot", f"{plain['at_once']['tokens_per_s']:.0f} tokens/s", "as it is"
    pauses = f"{model['event_loop_lag']['max_ms'] / 1000:.2f} s; straightforward {plain['longest_pause_s']:.1f} s"
    yield "the event loop's longest pause meanwhile", pauses, "as it is"


def alignment_rows() -> Iterator[Measured]:
    """RL, reward models, preference losses and PaLM beside TRL and palm-rlhf-pytorch."""
    rl = run("rl_speed.py", "--palm-steps", "0")[0]
    for kind in ("short prompts", "prompts as long as a chat's"):
        for other, name in (("trl", "TRL's RLOO at its fastest"), ("trl_defaults", "TRL's RLOO as it comes")):
            times = rl[kind]["wall"][f"times_{other}"]
            best = f"{times.pop('each_at_its_best'):.1f} times"
            what = f"reward gained per second, {kind}, beside {name}, each with the numbers best for it"
            yield what, best, f"≥ {rl['wanted']} times"
            span = f"{min(times.values()):.1f} to {max(times.values()):.1f} times"
            yield "the same with equal numbers", span, "as it is"
    pairs = run("preference_speed.py", "--rounds", "1", "--pairs", "24")[0]
    for name, times in pairs["times_faster_than"].items():
        yield f"pairs/s beside {name}", f"{times:.1f} times", "as it is"
    palm = run("palm_speed.py", "--rounds", "1")[0]
    own = palm["own_precision"]
    yield "PaLM writing at length 192", f"{palm['times_faster_writing']['192'][own]:.1f} times", "≥ 6 times"
    yield "PaLM training step", f"{palm['times_faster_training'][own]:.1f} times", "≥ 1.5 times"


def loop_rows(folder: Path) -> Iterator[Measured]:
    """The whole `align loop` on the bundled sample, TRL beside it, and sentiment as a reward on a tiny story model."""
    with tempfile.TemporaryDirectory() as kept:
        *loops, last = run("align_loop.py", "--workspace", str(folder), "--seeds", "0", "1", "2", "--keep", kept)
        summary = last["summary"]
        middle, least, most = summary["minutes"]
        yield "align loop, 200 judgements, three doubles", f"{middle:.1f} min ({least:.1f} to {most:.1f})", "≤ 15 min"
        middle, least, most = summary["share"]
        won = f"{middle:.0%} ({least:.0%} to {most:.0%})"
        yield "its candidates preferred in the blind comparison", won, "≥ 75 %"
        yield "of them with an interval that reaches below one half", f"{summary['below_half']}", "0"
        middle, least, most = summary["likeness_kept"]
        yield "likeness after over before", f"{middle:.2f} ({least:.2f} to {most:.2f})", "≥ 0.95"
        middle, least, most = summary["ties"]
        yield "ties among the judgements", f"{middle:.0%} ({least:.0%} to {most:.0%})", "< 15 %"
        own = loops[0]["blind"]["share"]
        for other in run("align_opponents.py", str(Path(kept) / "personal-0"), "--judge", "personal"):
            share = f"{other['blind']['share']:.0%}, the loop {own:.0%}"
            yield f"the first of these doubles by {other['method']}, equal minutes", share, "5 points less"
    stories = run("sentiment_stories.py")[0]["before_and_after"]
    for what, key in (("reward", "reward"), ("distinct-2", "distinct_2"), ("bits per character", "bits_per_character")):
        change = f"{stories[f'{key}_before']:.2f} → {stories[key]:.2f}"
        yield f"sentiment on stories: {what}", change, "as it is"


def website_rows() -> Iterator[Measured]:
    """The website over a million judgements, on SQLite and, where there is a server, on Postgres."""
    for name, site in run("website.py")[0].items():
        if site is None:
            yield f"the website on {name}", "no server found", ""
            continue
        voting, restless = site["next_pair_after_a_vote"], site["without_a_pause"]
        delay = f"{voting['p95_ms']:.0f} ms (p50 {voting['p50_ms']:.0f}, worst {voting['max_ms']:.0f})"
        what = f"next pair after a vote, p95, {voting['judges']} judges, {site['judgements']:,} judgements, {name}"
        yield what, delay, "≤ 100 ms"
        rate = f"{restless['votes_per_s']:.0f} votes/s"
        yield f"the same judges without a pause, {name}", rate, "as it is"
        yield f"statistics page, {name}", f"{site['pages']['/insights/']['first_s']:.2f} s", "≤ 1 s"
        weight, heaviest = max((page["kb"], path) for path, page in site["pages"].items())
        yield f"heaviest page, {name}", f"{weight:.0f} kB ({heaviest})", "≤ 150 kB"


def eyes_rows() -> Iterator[Measured]:
    """Looking at pictures."""
    found = run("eyes.py")[0]
    yield "a 12-megapixel JPEG made ours", f"{found['normalise_12_megapixels']:.2f} CPU-s", "≤ 0.4 CPU-s"
    yield "small eye: tags of a picture", f"{found['tags']:.3f} CPU-s", "≤ 0.1 CPU-s"
    yield "small eye: memory added", f"{found['memory_mb_of_tags']} MB", "≤ 25 MB"
    if "text" in found:
        yield "small eye: text of a picture", f"{found['text']:.2f} CPU-s", "≤ 2 CPU-s"
        yield "small eye with its reader: memory added", f"{found['memory_mb_with_text']} MB", ""


def own_sight_rows(folder: Path) -> Iterator[Measured]:
    """Models that see with their own weights."""
    command = [sys.executable, "-m", "talkalike.cli.main", "eye", "fetch", "small", "-w", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = run("seeing.py", str(folder / "models"), str(folder / "eyes" / "small"))[0]
    drawn, bound, base, shots = (found[part] for part in ("captions", "binding", "base", "shots"))
    yield "drawn captions on unseen pairs, from scratch", f"{drawn['held_out_pairs']:.1%}", "≥ 95 % in 5 minutes"
    yield "names bound by 2 examples", f"{bound['true']['2']:.1%} in {bound['seconds']:.0f} s", "≥ 95 % in 30 s"
    for arm in ("shuffled", "blank shots", "blank query"):
        yield f"the same, {arm}", f"{bound[arm]['2']:.1%}", "about 50 %"
    yield "drawn captions of SmolLM2-135M, seen pairs", f"{base['seen_pairs']:.1%}", ""
    yield "the same, unseen pairs", f"{base['held_out_pairs']:.1%}", ""
    lost = 100 * (base["seen_pairs"] - base["int8"]["seen_pairs"])
    yield "the same in 8 bits", f"{base['int8']['memory']:.2f} of the memory, {lost:+.1f} lost", "≤ 0.35, ≤ 1 point"
    yield "8 cached shots, over encoding them anew", f"{shots['times_faster']:.1f} times", "≥ 5 times"
    yield "the same answers", f"{shots['same_answers']} of {shots['of']}", "all"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--irc", type=Path, help="an IRC export in which Dr_Willis speaks")
    parser.add_argument("--gguf", type=Path, help="the base as GGUF, to decode with llama.cpp beside us")
    parts = ("first-path", "doubles", "training", "bot", "website", "alignment", "loop", "eyes", "own-sight")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="these parts and no others")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = workspace(Path(scratch) / "workspace")
        tables: dict[str, Iterator[Measured]] = {
            "first-path": first_path_rows(folder, options.gguf),
            "doubles": doubles_rows(folder),
            "training": training_rows(folder, options.irc),
            "bot": bot_rows(folder),
            "website": website_rows(),
            "alignment": alignment_rows(),
            "loop": loop_rows(folder),
            "eyes": eyes_rows(),
            "own-sight": own_sight_rows(folder),
        }
        for part in options.only:
            for what, measured, wanted in tables[part]:
                print(f"{what:<62}  {measured:<28}  {wanted}", flush=True)


if __name__ == "__main__":
    main()
