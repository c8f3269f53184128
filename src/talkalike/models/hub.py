"""A base from the Hugging Face hub: looked at before it is fetched, so that nothing is fetched in vain."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from talkalike.errors import UserError
from talkalike.workspace.cards import CARD_FILE

_SUFFIXES = (".json", ".safetensors", ".jinja")
_NAMES = ("tokenizer.model", "LICENSE")
_OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
_SPARE = 1 << 30  # bytes of the disk that stay free
_SECONDS = 30.0  # for an answer of the hub
_LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN, then try again."


def download_from_hub(hub_id: str, folder: Path, *, say: Callable[[str], object]) -> None:
    """Fetches a model's configuration, tokenizer and weights into the folder.

    Raises UserError, before anything large is fetched, where there is no such model, it needs a login, has no weights
    as safetensors, or is larger than the disk.
    """
    from huggingface_hub import HfApi, snapshot_download  # only where the hub is asked

    with _explained(hub_id):
        info = HfApi().model_info(hub_id, files_metadata=True, timeout=_SECONDS)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    wanted = choose_files(hub_id, sizes)
    total = sum(sizes[name] for name in wanted)
    free = shutil.disk_usage(folder).free
    if total + _SPARE > free:
        raise UserError(
            f"'{hub_id}' has {_gigabytes(total)}, and the disk of {folder.parent} has room for "
            f"{_gigabytes(max(0, free - _SPARE))}.",
            hint="Make room, move the workspace to a larger disk, or choose a smaller model.",
        )
    say(f"Fetching {hub_id} from the hub: {_gigabytes(total)} in {len(wanted)} files.")
    with _explained(hub_id):
        snapshot_download(hub_id, local_dir=folder, allow_patterns=wanted, revision=info.sha)
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def copy_model(folder: Path, target: Path) -> None:
    """Copies a model's files from a folder, not their permissions: what is ours, others cannot read.

    Raises UserError where the folder holds no model.
    """
    choose_files(str(folder), {file.name: 0 for file in folder.iterdir() if file.is_file()})
    for file in folder.iterdir():
        if file.is_file() and file.name != CARD_FILE and file.suffix in {*_SUFFIXES, ".model"}:
            shutil.copyfile(file, target / file.name)


def choose_files(hub_id: str, sizes: Mapping[str, int]) -> list[str]:
    """Which of a repository's files make a base. UserError where they do not."""
    top = [name for name in sizes if "/" not in name]
    wanted = [name for name in top if name.endswith(_SUFFIXES) or name.startswith(_NAMES)]
    sharded = "model.safetensors.index.json" in top
    # Some keep the same weights twice: in the hub's form and in their maker's.
    wanted = [name for name in wanted if not (sharded and name.startswith("consolidated"))]
    if any(name.endswith(".safetensors") for name in wanted) and "config.json" in top:
        return wanted
    if any(name.endswith(".gguf") for name in sizes):
        why, hint = "has its weights as GGUF only, which cannot be trained", "Choose the model that it was made from."
    elif "adapter_config.json" in top:
        why = "is an adapter, not a base: it holds only what was changed of one"
        hint = "Choose the base that its adapter_config.json names."
    elif any(name.endswith(_OTHER_WEIGHTS) for name in top):
        why = "has its weights in a form that can hide programs (*.bin and the like), and not as *.safetensors"
        hint = "Choose another model, or have it converted: https://huggingface.co/spaces/safetensors/convert"
    elif "config.json" in top:
        why, hint = "has no weights (*.safetensors)", "Choose a model that has, or the folder that holds its files."
    else:
        why, hint = "is not a model folder: it has no config.json", "Choose the folder that holds a model's files."
    raise UserError(f"'{hub_id}' {why}.", hint=hint)


@contextmanager
def _explained(hub_id: str) -> Iterator[None]:
    """What the hub's library raises, as a sentence."""
    # only where the hub is asked
    import httpx
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    try:
        yield
    except GatedRepoError:
        raise UserError(
            f"'{hub_id}' is gated: its makers let people in one by one.",
            hint=f"Accept their terms on https://huggingface.co/{hub_id}. {_LOG_IN}",
        ) from None
    except RepositoryNotFoundError:
        raise UserError(
            f"There is no model '{hub_id}' on the hub, or it is private.",
            hint=f"Check the name. If it is private: {_LOG_IN}",
        ) from None
    except (HfHubHTTPError, HFValidationError, httpx.HTTPError, OSError) as problem:
        first_line = str(problem).strip().split("\n")[0][:200]
        raise UserError(
            f"'{hub_id}' could not be fetched from the model hub: {first_line}",
            hint="Check the name and the network, or pass a local folder that holds the model.",
        ) from None


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
