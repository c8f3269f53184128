"""What PEFT writes about an adapter beside its weights. Imports no torch, so that commands can read it early."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_MORE_THAN_PAIRS = {
    "use_dora": "it is a DoRA, which also scales the base's own weights",
    "use_rslora": "it is scaled in another way (rsLoRA)",
    "rank_pattern": "its layers have different ranks",
    "alpha_pattern": "its layers have different scales",
    "modules_to_save": "it replaces whole layers of the base",
}


def adapter_config(folder: Path) -> dict[str, Any]:
    """What PEFT wrote about the adapter in this folder."""
    return cast(dict[str, Any], json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8")))


def why_no_plain_lora(config: Mapping[str, Any]) -> str:
    """Why an adapter is more, or something else, than pairs of small matrices with one scale; empty where it is not."""
    if config.get("peft_type") == "PROMPT_TUNING":
        return "it is a soft prompt"
    if config.get("peft_type") != "LORA":
        return f"it is of the kind {config.get('peft_type')}"
    return next((why for key, why in _MORE_THAN_PAIRS.items() if config.get(key)), "")
