"""What `--reward` may be: a reward model, `sentiment`, a file of rules, a classifier, or a function of one's own."""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkalike.alignment.rule_reward import read_rule_reward
from talkalike.alignment.sentiment import SentimentReward
from talkalike.alignment.values import ReplySample, Reward
from talkalike.errors import TalkalikeError, UserError

if TYPE_CHECKING:
    from talkalike.models.roles import Roles
    from talkalike.workspace.cards import Catalog

SENTIMENT, PYTHON, CLASSIFIER = "sentiment", "python:", "classifier:"
KINDS = (
    "A reward is the name of a reward model, 'sentiment', a file of rules (.yaml), classifier:NAME (or #LABEL behind "
    "it), or python:module.function."
)
_SHOWN = 80  # characters of a reply in a message


def open_reward(
    spec: str, *, catalog: Catalog, roles: Roles | None = None, device: str = "auto", dtype: str = "auto"
) -> Reward:
    """Opens the reward of this name. A reward model uses the base of `roles` where it can, else a base of its own.

    Raises UserError where there is no such reward or it cannot be used.
    """
    spec = spec.strip()
    if spec == SENTIMENT:
        return SentimentReward()
    if spec.startswith(PYTHON):
        return FunctionReward.load(spec.removeprefix(PYTHON))
    if spec.startswith(CLASSIFIER):
        name, _, label = spec.removeprefix(CLASSIFIER).partition("#")
        return _classifier(name, label, device)
    if Path(spec).suffix in {".yaml", ".yml"}:
        return read_rule_reward(Path(spec))
    names = [card.name for card in catalog.cards() if card.kind == "reward"]
    if spec in names or (_is_name(spec) and catalog.exists(spec)):
        return _reward_model(spec, catalog=catalog, roles=roles, device=device, dtype=dtype)
    if (Path(spec) / "config.json").is_file():  # a model of transformers
        return _classifier(spec, "", device)
    near = difflib.get_close_matches(spec, [SENTIMENT, *names], n=1)
    raise UserError(f"There is no reward '{spec}'.", hint=f"Did you mean '{near[0]}'? {KINDS}" if near else KINDS)


def _reward_model(name: str, *, catalog: Catalog, roles: Roles | None, device: str, dtype: str) -> Reward:
    # torch: other rewards do without
    from talkalike.alignment.linear_reward import FORM_FILE, LinearReward
    from talkalike.alignment.reward_model import RewardModel

    kind = LinearReward if (catalog.path(name) / FORM_FILE).is_file() else RewardModel
    return kind.load(catalog, name, roles=roles, device=device, dtype=dtype)


class FunctionReward:
    """A person's own function: it gets a list of `ReplySample` and returns a number for each, in order."""

    def __init__(self, name: str, function: Callable[[list[ReplySample]], Any]) -> None:
        self._name = name
        self._function = function

    @classmethod
    def load(cls, name: str) -> FunctionReward:
        """The function `module.function`; the module may lie in the current folder. Runs the module's code."""
        module_name, _, function_name = name.rpartition(".")
        if not module_name or not all(part.isidentifier() for part in name.split(".")):
            raise UserError(f"'{PYTHON}{name}' names no function.", hint="Write python:module.function.")
        with _folder_on_path():
            try:
                module = importlib.import_module(module_name)
            except ModuleNotFoundError as problem:
                missing = f"{problem.name}"
                if not f"{module_name}.".startswith(f"{missing}."):
                    raise UserError(f"The module '{module_name}' needs '{missing}', which is not installed.") from None
                raise UserError(
                    f"There is no module '{module_name}'.", hint=f"It has to be installed, or lie in {Path.cwd()}."
                ) from None
            except Exception as problem:  # noqa: BLE001  # a person's own module may raise anything
                raise UserError(
                    f"The module '{module_name}' fails when it is imported: {_describe_error(problem)}."
                ) from None
        function = getattr(module, function_name, None)
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise UserError(
                f"The module '{module_name}' has no ordinary function '{function_name}'.",
                hint="It takes a list of samples (with .text, .prompt_turns, .speaker) and returns a list of numbers.",
            )
        return cls(name, function)

    def score(self, samples: Sequence[ReplySample]) -> list[float]:
        """The function's numbers. Raises UserError, naming the reply, where it raises or gives no finite number."""
        if not samples:
            return []
        try:
            result = list(self._function(list(samples)))
        except TalkalikeError:
            raise
        except Exception as problem:  # noqa: BLE001  # a person's own function may raise anything
            raise self._failure(samples, problem) from None
        if len(result) != len(samples):
            raise UserError(
                f"The reward {self._name} gave {len(result)} numbers for {len(samples)} replies, "
                f"the first of which is {_quoted(samples[0])}.",
                hint="It has to return one number for each sample, in order.",
            )
        return [self._number(value, sample) for value, sample in zip(result, samples, strict=True)]

    def _number(self, value: Any, sample: ReplySample) -> float:
        try:
            number = math.nan if isinstance(value, str | bytes) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise UserError(
                f"The reward {self._name} gave {str(value)[:40]!r} for the reply {_quoted(sample)}.",
                hint="A reward has to be a finite number for every reply, an empty one included.",
            )
        return number

    def _failure(self, samples: Sequence[ReplySample], problem: Exception) -> UserError:
        """The error, which names the reply that fails when it is scored alone."""
        which = f"of {len(samples)} replies together, the first of which is {_quoted(samples[0])}"
        for sample in samples:
            try:
                list(self._function([sample]))
            except Exception as alone:  # noqa: BLE001  # as above
                which, problem = f"of the reply {_quoted(sample)}", alone
                break
        return UserError(
            f"The reward {self._name} {which} failed: {_describe_error(problem)}.", hint="Nothing was changed."
        )


def _classifier(name: str, label: str, device: str) -> Reward:
    from talkalike.alignment.classifier_reward import ClassifierReward  # torch: other rewards do without

    return ClassifierReward(name, label=label, device=device)


def _quoted(sample: ReplySample) -> str:
    return repr(sample.text[:_SHOWN])


def _describe_error(problem: BaseException) -> str:
    """The error and the line of the person's code it comes from."""
    frames = traceback.extract_tb(problem.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return (
        f"{type(problem).__name__}: {str(problem)[:200]}{where}" if str(problem) else f"{type(problem).__name__}{where}"
    )


def _is_name(spec: str) -> bool:
    return "/" not in spec and "\\" not in spec and not spec.startswith(".")


@contextmanager
def _folder_on_path() -> Iterator[None]:
    """The installed program does not look for modules in the current folder; a person expects that it does."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
