"""A double as files for other servers, with the text form that it was trained on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from talkalike.errors import UserError
from talkalike.examples.chat_template import chat_template
from talkalike.examples.render import Renderer
from talkalike.models import gguf_export
from talkalike.models.adapter_config import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_config
from talkalike.models.load import LoadedModel, adapter_base, load_for_inference
from talkalike.models.lora_pairs import LoraPairs, read_pairs
from talkalike.models.quantize import few_bits
from talkalike.models.tokenizer import copy_tokenizer, load_tokenizer
from talkalike.workspace.cards import CARD_FILE, Card, Catalog
from talkalike.workspace.files import now, replacing, replacing_folder, write_atomically

_TEMPLATE = "chat_template.jinja"
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM can be told to hold


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSource:
    """What is exported: a model of the catalog that writes as `speaker`. `about`: facts that are written into it."""

    catalog: Catalog
    card: Card
    speaker: str
    about: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where the model lies in the catalog."""
        return self.catalog.path(self.card.name)

    @property
    def base_folder(self) -> Path:
        """The folder of its base; its own where it has none."""
        is_adapter = (self.folder / ADAPTER_CONFIG).is_file()
        return adapter_base(self.folder, self.card, self.catalog) if is_adapter else self.folder

    def load(self, dtype: str) -> LoadedModel:
        """The model with its adapter merged. UserError for a soft prompt, which no merge can hold."""
        loaded = load_for_inference(self.folder, catalog=self.catalog, dtype=dtype, device="cpu")
        if loaded.soft_prompt_PD is not None or loaded.is_encoder_decoder:
            kind = "a soft prompt" if loaded.soft_prompt_PD is not None else "an encoder-decoder model"
            raise UserError(
                f"'{self.card.name}' is {kind}, which other servers cannot be given.",
                hint="Train the double with --method lora on a causal base, then export that.",
            )
        if few_bits(loaded.model):
            raise UserError(
                f"'{self.card.name}' stands on a quantised base, whose weights are too coarse to take it up.",
                hint="Write the adapter alone, with --to vllm, or train the double on the model that the base was "
                "made from.",
            )
        return loaded


def source_of(catalog: Catalog, card: Card) -> ExportSource:
    """A model as it is exported, in the voice of the first it was trained on."""
    speaker = (card.speakers or ("assistant",))[0]
    about = {"talkalike.model": card.name, "talkalike.exported": now(), "talkalike.speaker": speaker}
    about |= {"talkalike.card_sha256": hashlib.sha256((catalog.path(card.name) / CARD_FILE).read_bytes()).hexdigest()}
    return ExportSource(catalog=catalog, card=card, speaker=speaker, about=about)


def to_gguf(source: ExportSource, file: Path, *, quant: str) -> str:
    """The whole model as one GGUF file; returns how it is used."""
    loaded = source.load("float32")
    renderer = Renderer(loaded.tokenizer)
    with replacing(file) as scratch:
        gguf_export.write_model(
            loaded,
            scratch,
            quant=quant,
            template=chat_template(renderer.form, source.speaker),
            stop_id=renderer.stop_id,
            about=source.about,
        )
    used = f"Try it: llama-server -m {file} --jinja"
    if quant == "q4_1" and source.base_folder != source.folder:
        used += (
            "\nFour bits are coarser than what a training changes, so this file writes much like its base. Better: "
            f"`talkalike export {source.card.base} --quant q4_1`, and the double with `--to gguf-adapter`."
        )
    return used


def to_gguf_adapter(source: ExportSource, file: Path) -> str:
    """The adapter alone as a GGUF file; returns how it is used."""
    pairs = _plain_adapter(source)
    if pairs is None:
        raise UserError(
            f"'{source.card.name}' is no plain LoRA, so it cannot be written apart from its base.",
            hint="Write both as one file: --to gguf",
        )
    with replacing(file) as scratch:
        gguf_export.write_adapter(pairs, source.base_folder, scratch, about=source.about)
    return f"It goes on a GGUF file of '{source.card.base}': llama-server -m BASE.gguf --lora {file}"


def to_transformers(source: ExportSource, folder: Path) -> str:
    """The whole model as a folder of transformers; returns how it is used."""
    _write_merged(source, folder)
    return f"Try it: vllm serve {folder}, or AutoModelForCausalLM.from_pretrained({str(folder)!r})"


def to_vllm(source: ExportSource, folder: Path) -> str:
    """The adapter's folder where it is plain LoRA, which vLLM puts on its base; else the whole model."""
    pairs = _plain_adapter(source)
    if pairs is None:
        _write_merged(source, folder)
        return f"It is no plain LoRA, so it was merged with its base: vllm serve {folder}"
    rank = next(iter(pairs.down.values())).shape[0]
    held = next((allowed for allowed in _RANKS if allowed >= rank), None)
    if held is None:
        raise UserError(
            f"The adapter's rank of {rank} is larger than vLLM can hold ({_RANKS[-1]}).",
            hint="Write it together with its base: --to hf",
        )
    base = source.base_folder
    with replacing_folder(folder) as scratch:
        for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
            shutil.copyfile(source.folder / name, scratch / name)
        _write_text_form(source, base, scratch)
    name = source.card.name
    return (
        f"Try it: vllm serve {base} --enable-lora --max-lora-rank {held} --lora-modules {name}={folder} "
        f"--chat-template {folder / _TEMPLATE}"
    )


def _plain_adapter(source: ExportSource) -> LoraPairs | None:
    is_adapter = (source.folder / ADAPTER_CONFIG).is_file()
    if is_adapter and adapter_config(source.folder).get("peft_type") == "PROMPT_TUNING":
        source.load("bfloat16")  # says why not
    return read_pairs(source.folder) if is_adapter else None


def _write_merged(source: ExportSource, folder: Path) -> None:
    loaded = source.load("auto")
    with replacing_folder(folder) as scratch:
        loaded.model.save_pretrained(str(scratch), safe_serialization=True)
        _write_text_form(source, source.base_folder, scratch)


def _write_text_form(source: ExportSource, base: Path, folder: Path) -> None:
    """The base's vocabulary, with our chat template, and that a reply ends where a turn is closed."""
    copy_tokenizer(base, folder)
    config = folder / "tokenizer_config.json"
    if config.is_file():  # the template of the base would be another form
        values = json.loads(config.read_text(encoding="utf-8"))
        values.pop("chat_template", None)
        write_atomically(config, json.dumps(values, indent=2, ensure_ascii=False))
    renderer = Renderer(load_tokenizer(base))
    write_atomically(folder / _TEMPLATE, chat_template(renderer.form, source.speaker))
    write_atomically(folder / "generation_config.json", json.dumps({"eos_token_id": renderer.stop_id}))
    write_atomically(folder / "talkalike.json", json.dumps(dict(source.about), indent=2))
