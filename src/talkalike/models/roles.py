"""One model in memory, several roles: the frozen weights are the reference, each role adds what it may change.

A role is a LoRA beside the linear layers, a copy of the last blocks, or (for models so small that it does not matter)
a copy of everything. Which one is active is a switch that the layers read; switching touches no
`requires_grad` and no optimiser group. Source of the idea: named adapter scopes, as in PaLM-rlhf-pytorch and PEFT.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from talkalike.errors import UserError
from talkalike.models.adapter_config import ADAPTER_CONFIG
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import disk_errors, last_blocks
from talkalike.models.load import LoadedModel, adapter_base, load_for_inference
from talkalike.models.lora_pairs import LoraPairs, concatenate, read_pairs
from talkalike.models.own_attention import has_own_attention
from talkalike.models.placement import is_spread
from talkalike.models.quantize import few_bits
from talkalike.models.role_lora import ActiveRole, adapted_layers, attach, new_pairs, write_pairs
from talkalike.models.tokenizer import copy_tokenizer
from talkalike.workspace.cards import Catalog

ROLE_METHODS = ("lora", "last-n", "full")


class Roles:
    """A base with its double's adapter merged into the weights (the reference), and the roles on top of it."""

    def __init__(self, loaded: LoadedModel, *, below: LoraPairs | None = None, base_folder: Path | None = None) -> None:
        """`below`: the adapter that is merged already; `base_folder`: its base. Most callers want `open`."""
        self.loaded = loaded
        self.network: PreTrainedModel = loaded.model
        self._base_folder = base_folder
        self._below = below
        self._layers = adapted_layers(self.network)
        self._pairs: dict[str, LoraPairs] = {}
        self._active = ActiveRole(self._pairs)
        self._blocks: dict[str, dict[str, nn.Module]] = {}
        self._copies: dict[str, PreTrainedModel] = {}
        self._settings: dict[str, AdapterSettings] = {}
        self._attached = False
        self.network.requires_grad_(False)

    @classmethod
    def open(cls, folder: Path, *, catalog: Catalog, device: str = "auto", dtype: str = "auto") -> Roles:
        """The model in `folder`. Raises UserError for models without a frozen causal network."""
        loaded = load_for_inference(folder, catalog=catalog, dtype=dtype, device=device)
        if loaded.is_encoder_decoder:
            raise UserError(f"'{loaded.name}' is an encoder-decoder model.", hint="Choose a causal model to align.")
        if has_own_attention(loaded.model):
            raise UserError(
                f"'{loaded.name}' is a {type(loaded.model).__name__}, which attends in a way of its own. It can be "
                "trained on chats and talk, but not be aligned.",
                hint="Choose a base of another family, such as Llama, Qwen, Gemma or GPT-2.",
            )
        if few_bits(loaded.model) or is_spread(loaded.model):
            why = "is quantised" if few_bits(loaded.model) else "does not fit one device here"
            raise UserError(
                f"The base of '{loaded.name}' {why}: its doubles can be trained on chats and talk, but not be aligned.",
                hint="Choose a double on a smaller base that is not quantised.",
            )
        if loaded.soft_prompt_PD is not None:
            raise UserError(
                f"'{loaded.name}' is a soft prompt, on top of which no adapter can be trained.",
                hint="Train the double with --method lora, then align that.",
            )
        if not (folder / ADAPTER_CONFIG).is_file():
            return cls(loaded, base_folder=folder)
        card = catalog.card(folder.name) if catalog.exists(folder.name) else None
        return cls(loaded, below=read_pairs(folder), base_folder=adapter_base(folder, card, catalog))

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The format of the frozen weights; roles are float32."""
        return next(self.network.parameters()).dtype

    def add(self, name: str, settings: AdapterSettings, *, seed: int = 0) -> None:
        """A new role that changes nothing yet. Raises UserError for a method that cannot be a role."""
        if name in self._settings:
            raise ValueError(f"there is a role '{name}' already")
        if settings.method == "lora":
            if not self._attached:  # only now: a hook on every layer costs a little even where it does nothing
                attach(self._layers, self._active)
                self._attached = True
            self._pairs[name] = new_pairs(self._layers, rank=settings.rank, seed=seed, device=self.device)
        elif settings.method == "last-n":
            self._blocks[name] = self._copied_blocks(settings.last_layers)
        elif settings.method == "full":
            self._copies[name] = copy.deepcopy(self.network)
        else:
            raise UserError(
                f"The method '{settings.method}' cannot be a role on a shared base.",
                hint=f"Choose one of {', '.join(ROLE_METHODS)}.",
            )
        self._settings[name] = settings
        for parameter in self.parameters(name).values():
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)

    def load(self, name: str, folder: Path) -> None:
        """A role from an adapter that `save(..., alone=True)` wrote for this reference."""
        pairs = read_pairs(folder)
        if pairs is None or pairs.down.keys() != self._layers.keys():
            raise UserError(f"The adapter {folder} does not fit '{self.loaded.name}'.", hint="Train it on this model.")
        rank = next(iter(pairs.down.values())).shape[0]
        self.add(name, AdapterSettings(method="lora", rank=rank))
        with torch.no_grad():
            for label, parameter in self._pairs[name].named_tensors().items():
                parameter.copy_(pairs.named_tensors()[label])
        self._pairs[name].scale = pairs.scale

    def scale(self, name: str, factor: float) -> None:
        """Sets how much of a role's update is added: 1 is all of it. Raises ValueError for a role that is no LoRA."""
        if name not in self._pairs:
            raise ValueError(f"'{name}' is no LoRA: it cannot be scaled")
        self._pairs[name].factor = factor

    def remove(self, name: str) -> None:
        del self._settings[name]
        for kept in (self._pairs, self._blocks, self._copies):
            cast(dict[str, Any], kept).pop(name, None)

    @property
    def names(self) -> tuple[str, ...]:
        """The roles, in the order they were added."""
        return tuple(self._settings)

    def parameters(self, name: str) -> dict[str, nn.Parameter]:
        """What a role trains, by name; float32."""
        if name in self._pairs:
            return {label: cast(nn.Parameter, tensor) for label, tensor in self._pairs[name].named_tensors().items()}
        if name in self._copies:
            return dict(self._copies[name].named_parameters())
        return {
            f"{place}.{inner}": parameter
            for place, block in self._blocks[name].items()
            for inner, parameter in block.named_parameters()
        }

    @contextmanager
    def use(self, name: str | None) -> Iterator[PreTrainedModel]:
        """Within it, one role is active (None: the reference); yields the network to call."""
        if name is not None and name not in self._settings:
            raise ValueError(f"there is no role '{name}'")
        before = self._active.role
        replaced = self._swap(self._blocks.get(name or "", {}))
        self._active.role = name
        try:
            yield self._copies.get(name or "", self.network)
        finally:
            self._active.role = before
            self._swap(replaced)

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes of weights: of the shared base ("") and of each role."""
        counted = {"": sum(p.nbytes for p in self.network.parameters())}
        return counted | {name: sum(p.nbytes for p in self.parameters(name).values()) for name in self._settings}

    def checksum(self) -> str:
        """SHA-256 over the reference's weights: the same before and after any training."""
        digest = hashlib.sha256()
        for name, parameter in self.network.named_parameters():
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def save(self, name: str, folder: Path, *, base: str, alone: bool = False) -> str:
        """Writes a role as a model; returns its kind, "adapter" or "full".

        A LoRA is written relative to the original base, so that it loads like any double: the double's own update and
        the role's are one update of the summed rank. `alone` writes the role only, to be loaded onto this reference
        again. Where the two cannot be combined (DoRA below, copied blocks), the whole model is written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with disk_errors():
            if name in self._pairs:
                pairs = self._pairs[name]
                if alone or self._below is not None or not self._stands_on_adapter:
                    combined = pairs if alone or self._below is None else concatenate(self._below, pairs)
                    write_pairs(combined, folder, base=base, layers=self._layers)
                    return "adapter"
            self._save_whole(name, folder)
        return "full"

    @property
    def _stands_on_adapter(self) -> bool:
        return self._base_folder is not None and self._base_folder.name != self.loaded.name

    def _save_whole(self, name: str, folder: Path) -> None:
        with self.use(name) as network, torch.no_grad():
            state = {key: value.to(self.dtype) for key, value in network.state_dict().items()}
            if name in self._pairs:
                pairs = self._pairs[name]
                for place in pairs.down:
                    weight = state[f"{place}.weight"]
                    update = pairs.update(place).to(weight.device)
                    update = update.T if self._layers[place].flipped else update
                    state[f"{place}.weight"] = (weight.float() + update).to(self.dtype)
            network.save_pretrained(str(folder), state_dict=state, safe_serialization=True)
        if self._base_folder is not None:
            copy_tokenizer(self._base_folder, folder)

    def _copied_blocks(self, count: int) -> dict[str, nn.Module]:
        configs = {id(module.config): module.config for module in self.network.modules() if hasattr(module, "config")}
        places = {id(module): place for place, module in self.network.named_modules()}
        blocks = last_blocks(self.network, count)
        # Configurations stay shared: the way of attending is switched there, for all blocks at once.
        return {places[id(block)]: copy.deepcopy(block, dict(configs)) for block in blocks}

    def _swap(self, blocks: dict[str, nn.Module]) -> dict[str, nn.Module]:
        """Puts blocks into their places in the network and returns those that were there."""
        replaced = {}
        for place, block in blocks.items():
            parent, _, child = place.rpartition(".")
            replaced[place] = self.network.get_submodule(place)
            setattr(self.network.get_submodule(parent), child, block)
        return replaced
