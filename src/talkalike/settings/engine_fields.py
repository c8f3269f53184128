"""The settings of what computes replies and looks at pictures; and what all sections have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

ENGINE_KEY_VARIABLE = "TALKALIKE_ENGINE_KEY"
EYE_KEY_VARIABLE = "TALKALIKE_EYE_KEY"
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A table of the file. Strict: the text "3" is no number, and true is no 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class EngineSettings(Section):
    """What computes the replies of `chat` and `serve`. Training and measuring always run here."""

    kind: Literal["local", "llama.cpp", "remote"] = Field(
        default="local",
        description="local: our own engine. llama.cpp: a GGUF file of the model, written on first use, in this process "
        "(pip install 'talkalike[llama-cpp]'). remote: a server elsewhere that holds the same model.",
    )
    quant: Literal["f32", "bf16", "q8_0", "q4_1"] = Field(
        default="q8_0", description="llama.cpp: how the numbers in the file are stored. q8_0 takes a byte each."
    )
    url: str = Field(
        default="",
        pattern=r"^(https?://[^\s]+)?$",
        description=f"remote: the server's address with its version. Its key, if it wants one: ${ENGINE_KEY_VARIABLE}.",
        examples=["http://127.0.0.1:8001/v1"],
        json_schema_extra={"allowed": 'an address such as "http://127.0.0.1:8001/v1"'},
    )
    model: str = Field(
        default="",
        description="remote: the model's name at the server. Empty: the same as here, or the only one it has.",
    )


class EyeSettings(Section):
    """What looks at pictures that people send, and tells a double that reads words what they show."""

    model: str = Field(
        default="auto",
        min_length=1,
        description="auto: the eye that was fetched last (talkalike eye fetch), none where there is none. off: nobody "
        "looks. Or the name of one that was fetched, or of a vision model on the server at `url`.",
        json_schema_extra={"allowed": 'a name such as "small", "auto" or "off"'},
    )
    url: str = Field(
        default="",
        pattern=r"^(https?://[^\s]+)?$",
        description="Address of a vision server that speaks OpenAI's API, with its version. Pictures are sent to it. "
        f"Its key, if it wants one: ${EYE_KEY_VARIABLE}. Empty: pictures stay on this computer.",
        examples=["http://127.0.0.1:8002/v1"],
        json_schema_extra={"allowed": 'an address such as "http://127.0.0.1:8002/v1"'},
    )
    grade: Literal["glance", "look", "study"] = Field(
        default="glance",
        description="How closely the pictures of a conversation are looked at: glance is quick, look sees details and "
        "small text, study costs a vision model on a CPU up to a minute.",
    )
    seconds: Positive = Field(
        default=5.0, description="How long a reply waits for the eye. What takes longer is there for the next reply."
    )
    gate: Literal["off", "nsfw"] = Field(
        default="off",
        description="nsfw: pictures that a classifier takes for pornography are not looked at and not kept. Needs "
        "talkalike[eye].",
    )
