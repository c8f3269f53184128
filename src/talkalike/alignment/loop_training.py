"""The trainings of one round of `talkalike align loop`: a reward model, and the candidate by RL or by DPO."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from talkalike.alignment.feedback_values import FeedbackFinished, FeedbackSettings
from talkalike.alignment.judged import Judgements
from talkalike.alignment.linear_recipe import LinearRewardConfig, train_linear_reward
from talkalike.alignment.loop_state import CANDIDATE_RUN, REWARD_RUN, LoopSources, Round, TrainingEvent
from talkalike.alignment.preference_training import PreferenceSources, train_on_preferences
from talkalike.alignment.preference_values import LEARNING_RATES, PreferenceConfig, PreferenceEvent
from talkalike.alignment.reward_training import train_reward
from talkalike.alignment.reward_values import RewardConfig
from talkalike.alignment.rewards import open_reward
from talkalike.alignment.rl_recipe import RLSources, train_rl
from talkalike.alignment.rl_settings import PolicyUpdate, RewardShaping, RLConfig, RLSettings
from talkalike.alignment.rl_values import RLEvent, RLFinished
from talkalike.examples.opening import examples_of
from talkalike.workspace.run_folder import RunFolder, failing_with

_PROMPT_TOKENS = 192  # of the prompts of the rollouts: short enough for two cores
_JUDGED_TOKENS = 512  # of a judged context with its replies
_PROMPTS = 8  # in a step
_REPLIES = 12  # to each prompt: many, for the prompt is read once for all of them
_MOST_KL = 4.0  # per sample; beyond that it writes like somebody else
_LEARNING_RATE = 3e-4  # of the candidate in RL
_PACE = 0.6  # of the run: by then replies have moved as far as the KL target allows


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTraining:
    """The trainings of one round. Each yields what happens, and returns how it ended: "stopped" can go on."""

    current: Round
    sources: LoopSources
    judgements: Judgements
    should_stop: Callable[[], bool]

    def train_reward(self) -> Generator[TrainingEvent, None, str]:
        """A reward model on the present double."""
        run = self._run(REWARD_RUN)
        events = self._fit_reward(run) if self.current.options.reward_kind == "linear" else self._train_reward(run)
        return (yield from _run_to_end(events, run))

    def _fit_reward(self, run: RunFolder) -> Iterator[TrainingEvent]:
        config = LinearRewardConfig(
            name=self.current.reward,
            reference=self.current.present,
            max_tokens=_JUDGED_TOKENS,
            seed=self.current.options.seed,
            dtype=self.sources.dtype,
            device=self.sources.device,
        )
        catalog = self.sources.replies.paths.catalog()
        return train_linear_reward(config, catalog=catalog, judgements=self.judgements, run=run)

    def _train_reward(self, run: RunFolder) -> Iterator[TrainingEvent]:
        options = self.current.options
        config = RewardConfig(
            name=self.current.reward,
            reference=self.current.present,
            loop=FeedbackSettings(learning_rate=options.reward_lr, epochs=options.epochs, seed=options.seed),
            adapter=self.sources.adapter,
            evaluations=2,
            max_tokens=_JUDGED_TOKENS,
            dtype=self.sources.dtype,
            device=self.sources.device,
        )
        return train_reward(
            config,
            catalog=self.sources.replies.paths.catalog(),
            judgements=self.judgements,
            run=run,
            resume=bool(run.description()),
            should_stop=self.should_stop,
        )

    def train_candidate(self) -> Generator[TrainingEvent, None, str]:
        """The candidate: by RL where the round has a reward model, else on the judgements directly."""
        run = self._run(CANDIDATE_RUN)
        events: Iterator[RLEvent] | Iterator[PreferenceEvent] = (
            self._train_with_rl(run) if self.current.reward else self._train_on_preferences(run)
        )
        return (yield from _run_to_end(events, run))

    def _train_with_rl(self, run: RunFolder) -> Iterator[RLEvent]:
        options, catalog, reward = self.current.options, self.sources.replies.paths.catalog(), self.current.reward
        settings = RLSettings(
            algorithm="raft" if options.via == "raft" else "rloo",
            steps=options.steps,
            minutes=options.minutes,
            prompts=_PROMPTS,
            group_size=_REPLIES,
            max_tokens=options.max_tokens,
            bursts=options.bursts,
            seed=options.seed,
            shaping=RewardShaping(
                kl=options.kl,
                kl_target=options.kl_target or None,
                wins=options.reward_kind == "linear",  # its scores are log odds
                missing_end=0.5,  # of a double that writes at length many are cut off, whatever they say
                kl_least=options.kl,  # it begins at no distance at all: that is no reason to pay less
                kl_horizon=_PROMPTS * _REPLIES / 2,  # a few steps have to be enough: 40 % each at most
            ),
            max_kl=_MOST_KL,
            update=PolicyUpdate(learning_rate=options.lr or _LEARNING_RATE, minibatches=1, pace=_PACE),
        )
        config = RLConfig(
            name=self.current.candidate,
            double=self.current.present,
            reward=reward,
            settings=settings,
            policy=self.sources.adapter,
            dtype=self.sources.dtype,
            device=self.sources.device,
            prompt_tokens=_PROMPT_TOKENS,
            wins=options.wins,
        )
        sources = RLSources(
            catalog=catalog,
            examples=examples_of(self.sources.replies.paths.examples, catalog.card(self.current.present)),
            reward=lambda roles: open_reward(reward, catalog=catalog, roles=roles),
        )
        return train_rl(config, sources, run=run, resume=bool(run.description()), should_stop=self.should_stop)

    def _train_on_preferences(self, run: RunFolder) -> Iterator[PreferenceEvent]:
        options, adapter, paths = self.current.options, self.sources.adapter, self.sources.replies.paths
        rate = options.lr or LEARNING_RATES[adapter.method]
        config = PreferenceConfig(
            name=self.current.candidate,
            double=self.current.present,
            loss=options.via,
            loop=FeedbackSettings(learning_rate=rate, epochs=options.epochs, seed=options.seed),
            policy=adapter,
            evaluations=2,
            max_tokens=_JUDGED_TOKENS,
            dtype=self.sources.dtype,
            device=self.sources.device,
        )
        sources = PreferenceSources(
            catalog=paths.catalog(),
            judgements=self.judgements,
            cache=paths.reference_cache,
            examples=examples_of(paths.examples, paths.catalog().card(self.current.present)),
        )
        resume = bool(run.description())
        return train_on_preferences(config, sources, run=run, resume=resume, should_stop=self.should_stop)

    def _run(self, part: str) -> RunFolder:
        return self.current.run(self.sources.replies.paths.runs, part)


def _run_to_end(events: Iterator[TrainingEvent], run: RunFolder) -> Generator[TrainingEvent, None, str]:
    """Passes the events on, and returns how the training ended. One that ends in an error is marked as failed."""
    with failing_with(run):
        for event in events:
            yield event
            if isinstance(event, RLFinished | FeedbackFinished):
                return event.reason
    raise AssertionError("a training ends with how it ended")
