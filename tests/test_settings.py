"""Settings: one declaration drives the defaults, the written file, the environment and every message."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from talkalike.chats.sessions import DEFAULT_GAP_MS, HOUR_MS, MINUTE_MS
from talkalike.chats.values import Platform
from talkalike.engine.protocol import Sampling
from talkalike.errors import UserError
from talkalike.examples.prepare import PrepareSettings
from talkalike.models.adapter_settings import AdapterSettings
from talkalike.settings import Settings, default_toml, environment_variables, load_settings
from talkalike.training.values import LoopSettings

DEFAULTS = Settings()


def written(folder: Path, text: str) -> Path:
    path = folder / "talkalike.toml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(path: Path | None, environ: dict[str, str] | None = None) -> UserError:
    with pytest.raises(UserError) as caught:
        load_settings(path, environ or {})
    assert caught.value.exit_code == 2
    return caught.value


def test_the_file_that_init_writes_says_exactly_the_defaults(tmp_workspace: Path) -> None:
    assert load_settings(tmp_workspace / "talkalike.toml", {}) == DEFAULTS == load_settings(None, {})
    table = tomllib.loads(default_toml())
    unset = {("chats", "phone_region"), ("train", "minutes"), ("chat", "seed"), ("discord", "owner_id")}
    stated = {(section, key) for section, values in table.items() for key in values}
    assert stated | unset == {(section, key) for section, values in DEFAULTS for key, _ in values}
    assert not stated & unset


def test_every_unset_setting_can_be_uncommented(tmp_path: Path) -> None:
    lines = default_toml().split("\n")
    text = "\n".join(line.removeprefix("# ") if line.startswith("# ") and " = " in line else line for line in lines)
    settings = load_settings(written(tmp_path, text), {})
    assert (settings.chats.phone_region, settings.train.minutes, settings.chat.seed) == ("CZ", 10.0, 1)


def test_every_setting_is_explained_in_the_file() -> None:
    lines = default_toml().split("\n")
    for number, line in enumerate(lines):
        if " = " in line:
            assert lines[number - 1].startswith("# "), line
            assert any("Allowed: " in above for above in lines[number - 3 : number]), line
        assert len(line) <= 100


@pytest.mark.parametrize(
    ("section", "used", "elsewhere"),
    [
        (DEFAULTS.chat, Sampling, set()),
        (DEFAULTS.train, AdapterSettings, set()),
        (DEFAULTS.train, LoopSettings, {"learning_rate", "warmup", "weight_decay", "max_grad_norm"}),
        (DEFAULTS.examples, PrepareSettings, {"gap_ms", "cleaning"}),
    ],
)
def test_defaults_are_those_of_the_code_that_uses_them(section: object, used: type, elsewhere: set[str]) -> None:
    for field in dataclasses.fields(used):
        if field.name not in elsewhere:
            assert getattr(section, field.name) == field.default, field.name


def test_the_silences_are_those_of_the_code_that_cuts_sessions() -> None:
    assert DEFAULT_GAP_MS[Platform.MESSENGER] == DEFAULTS.chats.session_gap_hours * HOUR_MS
    assert DEFAULT_GAP_MS[Platform.IRC] == DEFAULTS.chats.irc_gap_minutes * MINUTE_MS


def test_values_from_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '[train]\nlr = 1e-4\nepochs = 2\nmethod = "dora"\n\n[chat]\nbudget_tokens = 512\n')
    settings = load_settings(path, {})
    assert (settings.train.lr, settings.train.epochs, settings.train.method) == (1e-4, 2.0, "dora")
    assert settings.chat.budget_tokens == 512
    assert settings.serve == DEFAULTS.serve


def test_the_environment_wins_and_empty_counts_as_unset(tmp_path: Path) -> None:
    path = written(tmp_path, "[train]\nrank = 4\nseed = 5\n")
    environ = {
        "TALKALIKE_TRAIN_RANK": "8",
        "TALKALIKE_TRAIN_SEED": "",
        "TALKALIKE_TRAIN_LR": "0.001",
        "TALKALIKE_CHAT_BUDGET_TOKENS": "auto",
        "TALKALIKE_EXAMPLES_REACTIONS": "False",
        "TALKALIKE_MODEL_BASE": "1234",  # a number as a name stays a name
        "PATH": "/bin",
    }
    settings = load_settings(path, environ)
    assert (settings.train.rank, settings.train.seed, settings.train.lr) == (8, 5, 0.001)
    assert (settings.chat.budget_tokens, settings.model.base) == ("auto", "1234")
    assert settings.examples.reactions is False


def test_the_key_s_own_variable_is_no_setting(tmp_path: Path) -> None:
    assert load_settings(None, {"TALKALIKE_API_KEY": "secret"}) == DEFAULTS
    path = written(tmp_path, '[serve]\napi_key_env = "TALKALIKE_OTHER"\n')
    assert load_settings(path, {"TALKALIKE_OTHER": "secret"}).serve.api_key_env == "TALKALIKE_OTHER"
    assert "TALKALIKE_OTHER" in complaint(None, {"TALKALIKE_OTHER": "secret"}).what


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        DEFAULTS.train.rank = 3  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("[train]\n\nranc = 3\n", "line 3: [train] has no setting 'ranc'", "Did you mean rank?"),
        ("[chat]\nmin_p = 0.1\n[train]\ntemperature = 1\n", "line 4: [train] has no", "belongs under [chat]"),
        ("[train]\nzzz = 3\n", "line 2: [train] has no setting 'zzz'", "There is: method, rank"),
        ("# x\n[trian]\nrank = 3\n", "line 2: there is no section [trian]", "Did you mean [train]?"),
        ("rank = 3\n", "line 1: 'rank' stands outside every section", "belongs under [train]"),
        ("hello = 3\n", "line 1: 'hello' stands outside every section", "[chats], [examples]"),
        ('[chat]\nseed = 1\n[train]\nseed = "x"\n', "line 4: 'seed' in [train] cannot be \"x\"", "a whole number"),
        ("[train]\nrank = 0\n", "line 2: 'rank' in [train] cannot be 0", "at least 1 and at most 1024"),
        ("[train]\nrank = true\n", "cannot be true", "a whole number"),
        ("[examples]\nreactions = 1\n", "'reactions' in [examples] cannot be 1", "Allowed: true or false."),
        ("[train]\nlr = -0.5\n", "cannot be -0.5", 'a number above 0 or "auto"'),
        ("[train]\nlr = nan\n", "cannot be NaN", "a number above 0"),
        ("[train]\nminutes = [1]\n", "cannot be a list", "a number above 0"),
        ('[train]\nmethod = "lorra"\n', 'cannot be "lorra"', 'one of "lora", "dora", "full", "last-n", "prompt"'),
        ('[model]\ndevice = "gpu"\n', 'cannot be "gpu"', '"cuda:0"'),
        ('[chats]\ntimezone = "Europe"\n', 'cannot be "Europe"', "Europe/Prague"),
        ('[chats]\ntimezone = "../etc"\n', 'cannot be "../etc"', "Europe/Prague"),
        ('[chats]\nphone_region = "cz"\n', 'cannot be "cz"', "two capital letters"),
        ("[serve]\nport = 70000\n", "line 2: 'port' in [serve] cannot be 70000", "at most 65535"),
        ("[train]\nrank =\n", "line 2, column 7: this is not valid TOML", "name = value"),
        ("[train]\nrank = 1\nrank = 2", "line 3 (the end): this is not valid TOML", "name = value"),
    ],
)
def test_bad_files_are_explained(tmp_path: Path, text: str, what: str, hint: str) -> None:
    error = complaint(written(tmp_path, text))
    assert error.what.startswith("talkalike.toml, line ")
    assert what in error.what
    assert hint in error.hint


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    error = complaint(written(tmp_path, "[train]\nrank = 0\nranc = 1\n"), {"TALKALIKE_TRAIN_SEED": "x"})
    first, second, third = error.what.split("\n")
    assert "line 3" in first
    assert "line 2" in second
    assert "TALKALIKE_TRAIN_SEED" in third
    assert "Did you mean rank?" in first


@pytest.mark.parametrize(
    ("variable", "value", "what", "hint"),
    [
        ("TALKALIKE_TRAIN_RANC", "3", "TALKALIKE_TRAIN_RANC is no setting", "Did you mean TALKALIKE_TRAIN_RANK?"),
        ("TALKALIKE_TRAIN_RANK", "many", 'TALKALIKE_TRAIN_RANK cannot be "many"', "a whole number"),
        ("TALKALIKE_EXAMPLES_REACTIONS", "yes", 'REACTIONS cannot be "yes"', "true or false"),
        ("TALKALIKE_CHAT_TOP_P", "nan", "TALKALIKE_CHAT_TOP_P cannot be NaN", "a number at least 0 and at most 1"),
    ],
)
def test_bad_variables_are_explained(variable: str, value: str, what: str, hint: str) -> None:
    error = complaint(None, {variable: value})
    assert what in error.what
    assert hint in error.hint


def test_unreadable_files_are_explained(tmp_path: Path) -> None:
    assert "talkalike init" in complaint(tmp_path / "talkalike.toml").hint
    assert "cannot be read" in complaint(tmp_path).what
    path = tmp_path / "talkalike.toml"
    path.write_bytes(b"[train]\n# caf\xe9\n")
    assert "line 2: this is not UTF-8" in complaint(path).what


def test_windows_editors_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "talkalike.toml"
    path.write_bytes(b"\xef\xbb\xbf[train]\r\nrank = 4\r\n")
    assert load_settings(path, {}).train.rank == 4
    path.write_bytes(b"\xef\xbb\xbf[train]\r\nrank = 4\r\nranc = 4\r\n")
    assert "line 3" in complaint(path).what


@given(variable=st.sampled_from(sorted(environment_variables())), text=st.text(max_size=12))
def test_any_text_in_any_variable_is_taken_or_explained(variable: str, text: str) -> None:
    try:
        load_settings(None, {variable: text})
    except UserError as error:
        assert variable in error.what
        assert "Allowed: " in error.hint


@given(text=st.text(max_size=60) | st.text(alphabet='[]train.k="\n #', max_size=60))
def test_any_text_as_a_file_is_taken_or_explained(tmp_path: Path, text: str) -> None:
    path = tmp_path / "talkalike.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert isinstance(load_settings(path, {}), Settings)
    except UserError as error:
        assert "talkalike.toml" in error.what
