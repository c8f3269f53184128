"""Any Hugging Face text classifier as a reward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from talkalike.alignment.values import ReplySample
from talkalike.errors import UserError

_BATCH = 32  # texts in one pass
_LONGEST = 512  # tokens, where the classifier does not say how much it reads


class ClassifierReward:
    """The probability that a Hugging Face text classifier gives to one label of a reply's text.

    `name`: a folder, or a name in the hub's cache or on the hub. `label`: one of the model's labels, whatever its case;
    left out, the one called positive, else the last. A classifier with a single output gives that number itself.
    """

    def __init__(self, name: str, *, label: str = "", device: str = "auto") -> None:
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
            loaded: Any = AutoModelForSequenceClassification.from_pretrained(
                name, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, KeyError) as problem:
            first_line = str(problem).strip().split("\n")[0][:200]
            raise UserError(
                f"The classifier '{name}' cannot be loaded: {first_line}",
                hint="Name a folder or a model of the hub that classifies texts and has safetensors weights.",
            ) from None
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = loaded.to(device).eval()
        self._device = device
        read = int(getattr(self._tokenizer, "model_max_length", _LONGEST) or _LONGEST)
        positions = int(getattr(loaded.config, "max_position_embeddings", _LONGEST) or _LONGEST)
        self._longest = min(read, positions, 8192)
        self._place = _label_index(label, loaded.config.id2label, name) if loaded.config.num_labels > 1 else None

    def score(self, samples: Sequence[ReplySample]) -> list[float]:
        """One number for each, the same alone or among others (up to rounding)."""
        scores: list[float] = []
        for start in range(0, len(samples), _BATCH):
            scores += self._score_batch([sample.text for sample in samples[start : start + _BATCH]])
        return scores

    def _score_batch(self, texts: list[str]) -> list[float]:
        inputs = self._tokenizer(
            texts, return_tensors="pt", padding=True, truncation=True, max_length=self._longest
        ).to(self._device)
        with torch.no_grad():
            logits_NL = self._model(**inputs).logits.float()
        values_N = logits_NL[:, 0] if self._place is None else logits_NL.softmax(dim=-1)[:, self._place]
        return cast("list[float]", values_N.tolist())


def _label_index(label: str, labels: dict[int, str], name: str) -> int:
    names = {str(known).casefold(): int(place) for place, known in labels.items()}
    if not label:
        return next((place for known, place in names.items() if known.startswith("pos")), max(names.values()))
    if label.casefold() not in names:
        raise UserError(
            f"The classifier '{name}' has no label '{label}'.", hint=f"It has: {', '.join(map(str, labels.values()))}."
        )
    return names[label.casefold()]
