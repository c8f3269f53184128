"""How good a reply is, as people would say: a head on the shared base for each scale, with an adapter of its own.

Five bins a scale. Training uses the bins' probabilities, a score is the expected rating and never drawn, so the same
reply always gets the same number. How far several members on one base are apart says how sure they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from talkalike.alignment.feedback_loop import ContextRow, autocast, group_by_prompt, reply_rows
from talkalike.alignment.judged_parts import reply_ids
from talkalike.alignment.prompts import newest_turns
from talkalike.alignment.shared_rows import shared_row_attention, target_states
from talkalike.alignment.values import ReplySample
from talkalike.errors import UserError
from talkalike.examples.prepare import tokenizer_hash
from talkalike.examples.render import Renderer
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.roles import Roles
from talkalike.training.checkpoints import assign, copies, save_tensors
from talkalike.workspace.cards import Catalog
from talkalike.workspace.files import write_json
from talkalike.workspace.rebuilding import read_as

FORM_FILE, HEADS_FILE, WEIGHTS_FILE = "reward.json", "heads.safetensors", "weights.safetensors"
RATINGS = (1.0, 2.0, 3.0, 4.0, 5.0)
MIDDLE = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardForm:
    """The architecture of a reward model; with it and the weights it can be loaded."""

    reference: str  # its base
    scales: tuple[str, ...]
    weights: Mapping[str, float]  # of the scales in the value
    pair_scale: str  # what comparisons are about
    members: int = 1
    max_tokens: int = 1024
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    hidden_size: int = 0
    tokenizer_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardScore:
    """One reply. `value` is a weighted mean of ratings from 1 to 5, `spread` the members' standard deviation."""

    value: float
    spread: float
    by_scale: Mapping[str, float]

    def __float__(self) -> float:
        return self.value


class RewardModel:
    """Members on a shared base: role `<prefix>-0`, `<prefix>-1`, ... each with a head (hidden -> scales x 5 bins)."""

    def __init__(self, roles: Roles, form: RewardForm, *, seed: int = 0, prefix: str = "reward") -> None:
        """A new model that rates everything 3. Most callers want `load`."""
        hidden = int(roles.network.config.get_text_config().hidden_size)
        self.roles = roles
        self.renderer = Renderer(roles.loaded.tokenizer)
        self.form = dataclasses.replace(form, hidden_size=hidden, tokenizer_hash=tokenizer_hash(self.renderer))
        self.names = tuple(f"{prefix}-{member}" for member in range(form.members))
        self.heads: list[nn.Linear] = []
        for member, name in enumerate(self.names):
            roles.add(name, form.adapter, seed=seed + member)
            head = nn.Linear(hidden, len(form.scales) * len(RATINGS), device=roles.device)
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
            self.heads.append(head)
        roles.network.eval()

    @classmethod
    def load(
        cls,
        catalog: Catalog,
        name: str,
        *,
        roles: Roles | None = None,
        device: str = "auto",
        dtype: str = "auto",
        prefix: str = "reward",
    ) -> RewardModel:
        """Loads the reward model of this name, onto `roles` where the reference is the same, else onto its own base.

        Raises UserError where it is not a reward model, is damaged, or does not fit the model it was made for.
        """
        card, folder = catalog.card(name), catalog.path(name)
        if card.kind != "reward":
            raise UserError(f"'{name}' is no reward model.", hint="Make one with `talkalike align reward`.")
        form = read_form(folder)
        if roles is None or roles.loaded.name != form.reference:
            if not catalog.exists(form.reference):
                raise UserError(
                    f"The reward model '{name}' was trained on top of '{form.reference}', which is gone.",
                    hint="Restore that model, or train the reward again with `talkalike align reward`.",
                )
            roles = Roles.open(catalog.path(form.reference), catalog=catalog, device=device, dtype=dtype)
        model = cls(roles, form, prefix=prefix)
        if (model.form.hidden_size, model.form.tokenizer_hash) != (form.hidden_size, form.tokenizer_hash):
            model.remove()
            raise UserError(
                f"The reward model '{name}' was made for another '{form.reference}' than the one that is here.",
                hint="Train the reward again with `talkalike align reward`.",
            )
        model._read(folder)
        return model

    def remove(self) -> None:
        """Removes its members from the base."""
        for name in self.names:
            self.roles.remove(name)

    def parameters(self, member: int) -> dict[str, nn.Parameter]:
        """What one member trains, by name: the adapter, then the head."""
        head = {f"head.{name}": parameter for name, parameter in self.heads[member].named_parameters()}
        return {**self.roles.parameters(self.names[member]), **head}

    def logits(self, member: int, row: ContextRow) -> Tensor:
        """Of the bins, (replies, scales, 5), from the state at each reply's last token; float32."""
        name = self.names[member]
        with self.roles.use(name) as network, shared_row_attention(network), autocast(self.roles):
            states_LD = target_states(network, row.row)
        states_ND = states_LD[row.last_N].float()
        states_ND = F.rms_norm(states_ND, states_ND.shape[-1:])  # one learning rate for bases of any scale
        return cast(Tensor, self.heads[member](states_ND)).view(len(states_ND), len(self.form.scales), len(RATINGS))

    def scores(self, samples: Sequence[ReplySample], *, row_tokens: int = 4096) -> list[RewardScore]:
        """Value, spread and scales of each sample, in order; alone or among others, the result is the same."""
        return [self._score(ratings_MS) for ratings_MS in self._ratings(samples, row_tokens)]

    def disagreements(self, pairs: Sequence[tuple[ReplySample, ReplySample]]) -> list[float]:
        """Of each pair how little the members agree which reply is better: 0 where they do, at most 1.

        It is twice the standard deviation of their probabilities. Judgements on what they disagree on teach
        most: Christiano et al. 2017 (arXiv:1706.03741), section 2.2.4.
        """
        ratings = self._ratings([sample for pair in pairs for sample in pair], row_tokens=4096)
        if not ratings:
            return []
        values_P2M = (torch.stack(ratings) @ self._weights_S()).unflatten(0, (-1, 2))
        first_PM = torch.sigmoid(values_P2M[:, 0] - values_P2M[:, 1])
        return [2 * float(deviation) for deviation in first_PM.std(dim=1, unbiased=False)]

    def _ratings(self, samples: Sequence[ReplySample], row_tokens: int) -> list[Tensor]:
        """What each member says of each sample on each scale, (members, scales), in order."""
        contexts, places = group_by_prompt(
            [fit_sample(sample, self.renderer, self.form.max_tokens) for sample in samples]
        )
        ratings: dict[tuple[int, int], Tensor] = {}
        with torch.no_grad():
            for row in reply_rows(
                contexts, range(len(contexts)), row_tokens=row_tokens, device=self.roles.device, after_last=True
            ):
                each = torch.stack([expected_ratings(self.logits(m, row)) for m in range(len(self.names))], dim=1).cpu()
                for index, start in zip(row.contexts, row.starts, strict=True):
                    for reply in range(len(contexts[index].samples)):
                        ratings[index, reply] = each[start + reply]
        return [ratings[place] for place in places]

    def _weights_S(self) -> Tensor:
        """How much each scale counts in the value; sums to 1."""
        weights_S = torch.tensor([float(self.form.weights.get(scale, 0.0)) for scale in self.form.scales])
        return weights_S / weights_S.sum()

    def score(self, samples: Sequence[ReplySample]) -> list[float]:
        """The values alone: what `values.Reward` asks for."""
        return [score.value for score in self.scores(samples)]

    def save(self, folder: Path) -> None:
        """Adapters, heads and form; a LoRA in PEFT's format relative to the reference."""
        folder.mkdir(parents=True, exist_ok=True)
        for member, name in enumerate(self.names):
            place = folder / f"member-{member}"
            if self.form.adapter.method == "lora":
                self.roles.save(name, place, base=self.form.reference, alone=True)
                continue
            place.mkdir(exist_ok=True)
            save_tensors(place / WEIGHTS_FILE, copies(self.roles.parameters(name)))
        heads = {f"{m}.{name}": p for m, head in enumerate(self.heads) for name, p in head.named_parameters()}
        save_tensors(folder / HEADS_FILE, copies(heads))
        write_json(folder / FORM_FILE, dataclasses.asdict(self.form))

    def _read(self, folder: Path) -> None:
        try:
            heads = load_file(folder / HEADS_FILE)
            for member, name in enumerate(self.names):
                place = folder / f"member-{member}"
                if self.form.adapter.method == "lora":
                    self.roles.remove(name)
                    self.roles.load(name, place)
                else:
                    assign(self.roles.parameters(name), load_file(place / WEIGHTS_FILE))
                own = {key.partition(".")[2]: value for key, value in heads.items() if key.startswith(f"{member}.")}
                assign(dict(self.heads[member].named_parameters()), own)
        except (OSError, SafetensorError, KeyError, RuntimeError) as problem:
            first_line = str(problem).strip().split("\n")[0][:200]
            raise UserError(
                f"The reward model in {folder} cannot be read: {first_line}.",
                hint="Train it again with `talkalike align reward`.",
            ) from None

    def _score(self, ratings_MS: Tensor) -> RewardScore:
        values_M = ratings_MS @ self._weights_S()
        means = ratings_MS.mean(dim=0).tolist()
        return RewardScore(
            value=float(values_M.mean()),
            spread=float(values_M.std(unbiased=False)),
            by_scale=dict(zip(self.form.scales, means, strict=True)),
        )


def fit_sample(sample: ReplySample, renderer: Renderer, max_tokens: int) -> ReplySample:
    """The sample in this base's tokens, short enough; rendered again if it has none, or those of another base."""
    turns, prompt, ids = sample.prompt_turns, sample.prompt_ids, sample.reply_ids
    if turns and tuple(renderer.prompt(turns, sample.speaker)) != prompt:
        ids = prompt = ()
    if not ids:
        ids = tuple(reply_ids(sample.text.split("\n"), sample.speaker, renderer))
    ids = ids[: max_tokens // 2]
    rest = max_tokens - len(ids)
    if turns and (not prompt or len(prompt) > rest):
        prompt = tuple(renderer.prompt(newest_turns(turns, sample.speaker, renderer, rest), sample.speaker))
    prompt = prompt[-rest:] or tuple(renderer.prompt((), sample.speaker))
    return dataclasses.replace(sample, prompt_ids=prompt, reply_ids=ids)


def expected_ratings(logits: Tensor) -> Tensor:
    """The mean rating of bins (..., 5); gradients flow through it."""
    return logits.softmax(dim=-1) @ torch.tensor(RATINGS, device=logits.device)


def rating_losses(logits_R5: Tensor, values_R: Tensor) -> Tensor:
    """Cross-entropy of ratings 1 to 5, (R,)."""
    return F.cross_entropy(logits_R5, values_R - 1, reduction="none")


def pair_losses(better_P: Tensor, worse_P: Tensor, *, centring: float, shares_P: Tensor | None = None) -> Tensor:
    """Bradley-Terry on expected ratings, and a small penalty where a pair's mean is off the middle (arXiv:2312.09244).

    `shares_P`: how likely the better one is better (1 where people said so); the cross-entropy is against that
    (arXiv:2309.00267, section 2.2).
    """
    shares_P = torch.ones_like(better_P) if shares_P is None else shares_P
    off_P = better_P + worse_P - 2 * MIDDLE
    losses_P = F.binary_cross_entropy_with_logits(better_P - worse_P, shares_P, reduction="none")
    return losses_P + centring * off_P**2


def read_form(folder: Path) -> RewardForm:
    """The form in a reward model's folder; raises UserError where it cannot be read."""
    return read_as(RewardForm, folder / FORM_FILE, hint="Train it again with `talkalike align reward`.")
