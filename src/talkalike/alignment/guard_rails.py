"""What is measured of every aligned double before and after its training, on held-out prompts.

A reward is never quite what people mean: these numbers show what a higher reward cost. All are cheap: a few replies,
and one pass over what the owner really wrote.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator

from talkalike.alignment.feedback_loop import group_by_prompt, reply_rows
from talkalike.alignment.policy_losses import distinct_share
from talkalike.alignment.preference_objective import reply_logprobs
from talkalike.alignment.prompts import ReplyPrompt, newest_turns, prompts_in, prompts_of_step, reply_prompt
from talkalike.alignment.rollouts import RolloutSampling, draw_numbers, reply_samples, sample_replies
from talkalike.alignment.values import ReplySample, Reward, checked_scores
from talkalike.chat.scenario_scores import safe_share
from talkalike.chat.scenarios import safety_cases
from talkalike.chats.redaction import redact
from talkalike.examples.copies import find_copies
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.heldout import load_messages
from talkalike.examples.render import Renderer
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.models.adapters import Trainable
from talkalike.models.roles import Roles
from talkalike.training.loop import mean_loss

_DOCUMENTS = 16  # held-out ones, at most
_READ = 5  # held-out prompts whose replies are kept for people to read
_PROMPTS, _GROUP_SIZE = 16, 2  # held-out prompts, at most, and replies to each


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplySettings:
    """How held-out prompts are answered."""

    max_tokens: int = 48
    prompt_tokens: int = 384
    seed: int = 0


class GuardRails:
    """Measures one role of a base. Deterministic, and the same on every process."""

    def __init__(
        self,
        roles: Roles,
        role: str,
        examples: ExampleSet,
        accelerator: Accelerator,
        *,
        settings: ReplySettings,
        reward: Reward | None = None,
    ) -> None:
        self.roles, self.role, self.examples, self.accelerator = roles, role, examples, accelerator
        self.reward, self.settings = reward, settings
        self.renderer = Renderer(roles.loaded.tokenizer)
        self.token_budget = min(roles.loaded.context_length - settings.max_tokens, settings.prompt_tokens)
        self.prompts = list(prompts_in(examples, "heldout", self.renderer, max_tokens=self.token_budget))

    def measure(self) -> dict[str, float]:
        """Measures the role.

        `heldout_loss` (nats per token) and `bits_per_character`: how badly it predicts what was really written.
        Of the replies to held-out prompts, where there are any: `reward` (where there is one), `kl` (per reply, from
        the double before its training, in nats), `distinct_2`, `length` (tokens), `copied` (the share that repeats a
        stretch of the training chats, see `examples.copies`) and `leaks` (the share with somebody's personal data). Of
        the replies to the shipped safety scenarios: `safe_replies`, the share that is safe.
        """
        found = self.likeness()
        found["safe_replies"] = self.safe_reply_share()
        samples = self._answer(self._choose_prompts())
        if not samples:
            return found
        found["kl"] = self._kl(samples)
        found["distinct_2"] = distinct_share([list(sample.reply_ids) for sample in samples])
        found["length"] = statistics.fmean(len(sample.reply_ids) for sample in samples)
        found["copied"] = self.copied_share(samples)
        found["leaks"] = statistics.fmean(bool(redact(sample.text).counts) for sample in samples)
        if self.reward is not None:
            found["reward"] = statistics.fmean(checked_scores(self.reward, samples))
        return found

    def likeness(self) -> dict[str, float]:
        """How well the role predicts what was really written in held-out conversations: one pass, no replies.

        Bits are of all learned tokens (text, closing marker, who is next); a message counts one character more than it
        has, for its end. Nothing where nothing is held out.
        """
        heldout = self.examples.split("heldout")
        measurable = heldout.measurable
        chosen = measurable[:: max(1, -(-len(measurable) // _DOCUMENTS))]
        if not chosen:
            return {}
        with self.roles.use(self.role) as network:
            trainable = Trainable(network=network, parameters={}, settings=AdapterSettings())
            loss = mean_loss(trainable, heldout, chosen, self.accelerator)
            network.eval()
        tokens = sum(int(heldout.mask(index).sum()) for index in chosen)
        characters = 0
        for index, document in enumerate(self.examples.documents("heldout")):
            if index in chosen:
                learned = zip(document.turns, document.learn, strict=True)
                characters += sum(len(turn.text) + 1 for turn, learn in learned if learn)
        return {"heldout_loss": loss, "bits_per_character": loss * tokens / math.log(2) / max(1, characters)}

    def copied_share(self, samples: Sequence[ReplySample]) -> float:
        """The share of these replies that repeats a stretch of the training chats."""
        written = ((said.speaker, said.text) for said in load_messages(self.examples, "train"))
        _, anyone = find_copies([[sample.text] for sample in samples], written, author="")
        return len(anyone) / len(samples)

    def example_replies(self) -> list[dict[str, Any]]:
        """One reply to each of a few held-out prompts, always the same ones with the same random numbers, so that only
        the role changes. For people to read side by side.
        """
        samples = self._answer(self._choose_prompts()[:_READ], group_size=1)
        scores = checked_scores(self.reward, samples) if self.reward is not None and samples else []
        replies: list[dict[str, Any]] = [
            {"prompt": sample.prompt_turns[-1].text, "speaker": sample.speaker, "text": sample.text}
            for sample in samples
        ]
        for reply, score in zip(replies, scores, strict=False):
            reply["reward"] = round(score, 4)
        return replies

    def safe_reply_share(self) -> float:
        """The share of safe replies to the test scenarios: injected instructions, insults, "are you human?"."""
        speaker = self.examples.manifest.speakers[0]
        cases = safety_cases()
        prompts = []
        for case in cases:
            turns = newest_turns(case.turns_for(speaker), speaker, self.renderer, self.token_budget)
            prompts.append(reply_prompt(turns, speaker, self.renderer))
        samples = self._answer(prompts)
        return safe_share([case for case in cases for _ in range(_GROUP_SIZE)], [sample.text for sample in samples])

    def _choose_prompts(self) -> list[ReplyPrompt]:
        count = min(_PROMPTS, len(self.prompts))
        if not count:
            return []
        places = prompts_of_step(len(self.prompts), 0, prompts=count, seed=self.settings.seed)
        return [self.prompts[place] for place in places]

    def _answer(self, prompts: Sequence[ReplyPrompt], *, group_size: int = _GROUP_SIZE) -> list[ReplySample]:
        if not prompts:
            return []
        seed, limit = self.settings.seed, self.settings.max_tokens
        rollouts = sample_replies(
            self.roles,
            [prompt.ids for prompt in prompts],
            role=self.role,
            sampling=RolloutSampling(stop_id=self.renderer.stop_id, max_tokens=limit),
            random_NT=draw_numbers(seed, 0, range(len(prompts)), group_size=group_size, length=limit),
        )
        return reply_samples(prompts, rollouts, self.renderer.tokenizer.decode, stop_id=self.renderer.stop_id)

    def _kl(self, samples: Sequence[ReplySample]) -> float:
        contexts, _ = group_by_prompt(samples)
        total = 0.0
        with torch.no_grad():
            for row in reply_rows(contexts, range(len(contexts)), row_tokens=2048, device=self.roles.device):
                of_role, of_reference = (reply_logprobs(self.roles, role, row) for role in (self.role, None))
                total += float((of_role - of_reference).sum())
        return total / len(samples)


def scores_before_and_after(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Both measurements as scores of a card: the names of the earlier ones end in `_before`."""
    scores = {f"{name}_before": value for name, value in before.items()} | after
    return {name: round(value, 4) for name, value in scores.items() if math.isfinite(value)}
