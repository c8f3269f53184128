"""Every setting, declared once: its section, name, type, default, bounds and description."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from talkalike.options import BUDGET_TOKENS, SAMPLING
from talkalike.settings.engine_fields import (
    ENGINE_KEY_VARIABLE,
    EYE_KEY_VARIABLE,
    EngineSettings,
    EyeSettings,
    Positive,
    Section,
)

KEY_VARIABLE = "TALKALIKE_API_KEY"  # the default of [serve] api_key_env; it holds a secret, so it is no setting itself
WORKSPACE_VARIABLE = "TALKALIKE_WORKSPACE"  # where the settings are, so it cannot be one
DEBUG_VARIABLE = "TALKALIKE_DEBUG"
NOT_SETTINGS = {
    KEY_VARIABLE: "The key that clients of `talkalike serve` must send.",
    ENGINE_KEY_VARIABLE: "The key that is sent to the server at `url` in [engine].",
    EYE_KEY_VARIABLE: "The key that is sent to the vision server at `url` in [eye].",
    WORKSPACE_VARIABLE: "The workspace to use where --workspace is not given.",
    DEBUG_VARIABLE: "1: show the traceback of internal errors.",
}

_NAME = r"(\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])"
_Names = Annotated[
    str,
    Field(
        pattern=rf"^\s*({_NAME}(\s*,\s*{_NAME})*)?\s*$",
        json_schema_extra={"allowed": 'names such as "double.example.org", without https:// and port, commas between'},
    ),
]


def split_names(names: str) -> tuple[str, ...]:
    """A setting's names, which have commas between them."""
    return tuple(name.strip() for name in names.split(",") if name.strip())


class ChatsSettings(Section):
    """How exports are read, cleaned and cut into sessions."""

    session_gap_hours: Positive = Field(
        default=4.0,
        le=87_600,
        description="A silence of this many hours ends a session: what was said before is no longer context.",
    )
    irc_gap_minutes: Positive = Field(
        default=30.0,
        le=5_256_000,
        description="The same in minutes for IRC channels, where many people talk and topics change fast.",
    )
    timezone: str = Field(
        default="auto",
        description="Time zone of the dates that are shown. auto: this computer's.",
        json_schema_extra={"allowed": '"auto" or a name such as "Europe/Prague"'},
    )
    phone_region: str | None = Field(
        default=None,
        pattern="^[A-Z]{2}$",
        description="Country whose phone numbers are found without their +prefix when redacting. Not set: several.",
        examples=["CZ"],
        json_schema_extra={"allowed": 'a country code of two capital letters, such as "CZ"'},
    )

    platform_lines: bool = Field(
        default=False,
        description="Also learn lines that look like the platform's own words, such as “Anna sent a photo.”",
    )

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, name: str) -> str:
        if name != "auto":
            try:
                ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: a folder's name, such as "Europe"
                raise ValueError("no such time zone") from error
        return name


class ExamplesSettings(Section):
    """How sessions become training examples."""

    max_tokens: int = Field(
        default=1024,
        ge=64,
        description="Longest example, in tokens. A longer session is split at its longest silence; one message gets "
        "at most half of it. Where the base reads fewer tokens, that many.",
    )
    context_tokens: int = Field(
        default=256, ge=0, description="Tokens of others' messages kept before each message that is learned."
    )
    heldout_share: float = Field(
        default=0.1,
        gt=0,
        le=0.5,
        description="Share of the newest messages to learn, in whole sessions, kept out of training to score against.",
    )
    photos: bool = Field(
        default=False,
        description="Tell the double in words what others' photos showed, where an eye has looked at them "
        "(talkalike eye photos).",
    )
    reactions: bool = Field(
        default=True, description="Learn when to react with an emoji, from the chats that have reactions."
    )


class ModelSettings(Section):
    """The base model that adapters are trained on."""

    base: str = Field(
        default="smollm2-135m-instruct",
        min_length=1,
        description="Base model: a name in `talkalike models`, a folder, or a causal model on the Hugging Face hub.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="Number format of the weights in memory. auto: what is fastest here, by a probe."
    )
    quantize: Literal["none", "8bit", "4bit"] = Field(
        default="none",
        description="Keep the base in fewer bits, for bases larger than the memory: adapters are trained on it (QLoRA) "
        "and served beside it. Less sure of its words, and slower on a CPU. Needs talkalike[quantize].",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="Where the model runs. auto: a GPU where there is one; a base that does not fit it is spread over "
        "all GPUs, the memory and the disk.",
        json_schema_extra={"allowed": '"auto", "cpu", "mps", "cuda" or one GPU by its number, such as "cuda:0"'},
    )

    @property
    def loading(self) -> dict[str, str]:
        """How a base is loaded, as arguments: its number format, its device, and in how many bits."""
        return {"dtype": self.dtype, "device": self.device, "quantize": self.quantize}

    conversations_mb: int = Field(
        default=512,
        ge=0,
        le=1_048_576,
        description="Disk space in MiB for what the model made of the latest conversations, by which its first words "
        "after a restart come at once. It holds what was said there, for a week at most. 0: nothing is saved.",
    )


class TrainSettings(Section):
    """How an adapter is trained."""

    method: Literal["lora", "dora", "full", "last-n", "prompt"] = Field(
        default="lora", description="What is trained: small matrices beside every layer, everything, or a part."
    )
    rank: int = Field(default=16, ge=1, le=1024, description="lora and dora: the size of the matrices.")
    last_layers: int = Field(default=4, ge=1, description="last-n: how many layers, counted from the end.")
    prompt_length: int = Field(default=32, ge=1, description="prompt: how many learned tokens stand before the chat.")
    lr: Positive | Literal["auto"] = Field(
        default="auto", description="Highest learning rate. auto: the usual one for the method."
    )
    epochs: Positive = Field(default=3.0, description="At most this many passes over the examples.")
    minutes: Positive | None = Field(
        default=None,
        description="Stop after this many minutes, loading and saving included, with the schedule fitted to it.",
        examples=[10.0],
    )
    batch_tokens: int = Field(default=2048, ge=64, description="Number of tokens in each training step.")
    row_tokens: int = Field(
        default=2048,
        ge=64,
        description="Tokens computed at once. Lower it when memory runs out: slower, with the same result.",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute each layer a second time instead of remembering it: a fraction of the memory, a third "
        "slower, the same result.",
    )
    patience: int = Field(
        default=3,
        ge=0,
        description="Stop after this many held-out losses without a new best. 0: never.",
    )
    seed: int = Field(
        default=0, ge=0, lt=2**32, description="Random seed: the same seed, examples and machine give the same adapter."
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        default="cosine", description="How the learning rate falls to 0 after its warm-up; constant: it stays the same."
    )


def _reply_option(key: str) -> Any:
    """A setting as the table of options declares it."""
    option = SAMPLING[key]
    return Field(default=option.default, ge=option.low, le=option.high, description=option.description, examples=[1])


class ChatSettings(Section):
    """How replies are sampled, and what the model gets to see."""

    temperature: float = _reply_option("temperature")
    top_p: float = _reply_option("top_p")
    top_k: int = _reply_option("top_k")
    min_p: float = _reply_option("min_p")
    repetition_penalty: float = _reply_option("repetition_penalty")
    seed: int | None = _reply_option("seed")
    max_tokens: int = _reply_option("max_tokens")
    max_messages: int = _reply_option("max_messages")
    best_of: int = _reply_option("best_of")
    reward: str = Field(
        default="",
        description="Reward that chooses the best of several replies. Not set: none, and best_of has to be 1.",
        examples=["sentiment"],
        json_schema_extra={"allowed": "a reward model, sentiment, a rules .yaml, classifier:NAME or python:mod.fn"},
    )
    budget_tokens: Annotated[int, Field(ge=BUDGET_TOKENS.low, le=BUDGET_TOKENS.high)] | Literal["auto"] = Field(
        default=BUDGET_TOKENS.default, description=BUDGET_TOKENS.description
    )


class ServeSettings(Section):
    """The OpenAI-compatible server, `talkalike serve`."""

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on. 127.0.0.1: this computer only.",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on. 0: any free port.")
    api_key_env: str = Field(
        default=KEY_VARIABLE,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Name of the environment variable with the key that clients must send. Not set there: no key.",
        json_schema_extra={"allowed": "the name of an environment variable"},
    )
    names: _Names = Field(
        default="",
        description="Names under which clients reach it through a proxy on this computer, with commas between. "
        "localhost need not be listed.",
    )
    origins: str = Field(
        default="",
        pattern=r"^\s*(https?://[^\s/*,]+\s*(,\s*https?://[^\s/*,]+\s*)*)?$",
        description="Web pages whose scripts may use the API from a browser, with commas between. Empty: none.",
        json_schema_extra={"allowed": 'addresses without a path, such as "https://chat.example.org"'},
    )
    doubles: str = Field(
        default="",
        pattern=r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*(\s*,\s*[A-Za-z0-9][A-Za-z0-9._-]*)*)?\s*$",
        description="Other doubles on the same base that clients may name as `model`, with commas between. all: every "
        "one there is. Empty: none.",
        json_schema_extra={"allowed": 'names of doubles, such as "anna-1, bob-2", or "all"'},
    )
    adapters_mb: int = Field(
        default=2048,
        ge=0,
        description="Memory in MiB for the adapters of doubles that share a base in one process; the one used longest "
        "ago goes first. 0: doubles are merged, each into a base of its own, in a process of its own.",
    )


class DiscordSettings(Section):
    """The double on Discord, `talkalike serve --discord`. Its token is a secret: $DISCORD_TOKEN."""

    owner_id: int | None = Field(
        default=None,
        gt=0,
        description="The Discord id of the bot's owner, who may do everything (in Discord: settings, advanced, "
        "developer mode; then right-click your name, copy user id). Not set: the bot has no owner.",
        examples=[123456789012345678],
    )

    @field_validator("owner_id", mode="before")
    @classmethod
    def _digits_are_an_id(cls, value: object) -> object:
        """An id in quotes is as good: people copy it as text."""
        return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value

    owner_name: str = Field(
        default="",
        description="Whose double the bot says it is. Empty: the person the model was trained to talk like.",
    )
    dm_access: Literal["closed", "open"] = Field(
        default="closed", description="Whether people other than the owner are answered in direct messages."
    )
    history_messages: int = Field(default=200, ge=1, le=2000, description="Most messages that are read from a channel.")
    text_file_kb: int = Field(
        default=64, ge=0, le=10240, description="Maximum size in KiB of an attached text file that the model reads."
    )
    catch_up_minutes: float = Field(
        default=10.0,
        ge=0,
        le=1440,
        description="Maximum age in minutes of a message that is still answered when the bot comes back. 0: none is.",
    )
    at_once: int = Field(
        default=4, ge=1, description="Most replies that are written at the same time, in all channels."
    )
    max_waiting: int = Field(default=32, ge=0, description="Most replies that wait for their turn.")
    shards: int = Field(default=1, ge=0, description="Connections to Discord. 0: as many as Discord recommends.")
    scenarios: str = Field(default="", description="Folder with your own scenario files for /test.")
    page_port: int = Field(
        default=8080, ge=0, le=65535, description="Port of the page that `--offline` opens. 0: any free port."
    )


class WebSettings(Section):
    """The website, `talkalike serve --web`."""

    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address to listen on. 127.0.0.1: this computer only."
    )
    port: int = Field(default=8100, ge=0, le=65535, description="Port to listen on. 0: any free port.")
    names: _Names = Field(
        default="",
        description="Names under which people reach it, with commas between (such as double.example.org). This "
        "computer's own need not be listed.",
    )
    tls: bool = Field(
        default=False, description="People reach the site by https, through a proxy: cookies are sent over https only."
    )
    behind_proxy: bool = Field(
        default=False, description="Trust a proxy on this computer to say who is asking (X-Forwarded-For and -Proto)."
    )
    path: str = Field(
        default="",
        pattern=r"^((/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/?)?$",
        description="Path under which a proxy serves the site, if it shares its name with others. Empty: at the top.",
        examples=["/double"],
        json_schema_extra={"allowed": 'a path such as "/double"'},
    )


class Settings(Section):
    """Everything that can be set, by section of `talkalike.toml`. Equal settings are equal objects."""

    chats: ChatsSettings = ChatsSettings()
    examples: ExamplesSettings = ExamplesSettings()
    model: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    eye: EyeSettings = EyeSettings()
    train: TrainSettings = TrainSettings()
    chat: ChatSettings = ChatSettings()
    serve: ServeSettings = ServeSettings()
    discord: DiscordSettings = DiscordSettings()
    web: WebSettings = WebSettings()


SECTIONS: dict[str, type[Section]] = {
    name: type(field.default) for name, field in Settings.model_fields.items() if isinstance(field.default, Section)
}
