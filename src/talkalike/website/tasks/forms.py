"""The form of a task: what it is made of, which examples go, and new ones with their pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from talkalike.chat.seeing.changing import TaskChange, shown_stops, typed_stops
from talkalike.chat.seeing.checking import LONGEST_NAME, LONGEST_TEMPLATE, LONGEST_TEXT
from talkalike.chat.seeing.values import DEFAULT_TEMPLATE, IMAGE, MOST_SHOTS, TEXT, Selection, Shot, TaskSpec
from talkalike.errors import UserError
from talkalike.pictures.normalising import normalise
from talkalike.pictures.picture import MAX_BYTES, Picture

ROWS = 4  # new examples that one form takes
PICTURES = "image/png,image/jpeg,image/webp,image/gif,image/avif"
SELECTIONS = (
    (Selection.ALL, "the first ones"),
    (Selection.NEWEST, "the newest ones"),
    (Selection.NEAREST, "those most like the picture"),
)


class TaskForm(forms.Form):
    """`old`: the task that is changed; None for a new one. New examples are read by `change`."""

    name = forms.CharField(
        label="Name",
        max_length=LONGEST_NAME,
        help_text="Small letters, digits, - and _.",
    )
    instruction = forms.CharField(
        label="Instruction",
        max_length=LONGEST_TEXT,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="What the model is told before the examples.",
    )
    template = forms.CharField(
        label="Template",
        max_length=LONGEST_TEMPLATE,
        initial=DEFAULT_TEMPLATE,
        strip=False,
        help_text=f"How examples and questions begin: {IMAGE} is where the picture stands, {TEXT} where a text does.",
    )
    stop = forms.CharField(
        label="Texts at which an answer ends",
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="One a line; \\n is the end of a line.",
    )
    selection = forms.ChoiceField(label="If there are more examples than fit, show", choices=SELECTIONS)
    max_shots = forms.IntegerField(
        label="Highest number of examples shown at once", min_value=0, max_value=MOST_SHOTS, initial=MOST_SHOTS
    )

    def __init__(self, *args: Any, old: TaskSpec | None = None, **kwargs: Any) -> None:
        if old is not None:
            initial = {
                "instruction": old.instruction,
                "template": old.template,
                "stop": "\n".join(shown_stops(old.stop)),
                "selection": old.selection.value,
                "max_shots": old.max_shots,
            }
            kwargs["initial"] = initial
        super().__init__(*args, **kwargs)
        if old is not None:
            del self.fields["name"]

    def change(self) -> tuple[TaskChange, dict[str, Picture]]:
        """What was asked for, once the form is valid, and the new pictures by hash. Raises UserError."""
        given = self.cleaned_data
        sent: Any = self.data
        rows = list(self._new_examples())
        change = TaskChange(
            add=tuple(shot for shot, _ in rows),
            drop=tuple(int(one) for one in sent.getlist("drop") if one.isascii() and one.isdigit() and len(one) < 6),
            instruction=given["instruction"].replace("\r\n", "\n"),
            template=given["template"],
            stop=typed_stops(line for line in given["stop"].splitlines() if line),
            selection=Selection(given["selection"]),
            max_shots=given["max_shots"],
        )
        return change, {picture.hash: picture for _, picture in rows if picture is not None}

    @property
    def rows(self) -> list[tuple[int, str, str]]:
        """New examples as they were typed: number, text and answer. A browser keeps no file that was chosen."""
        data: Any = self.data or {}
        return [(row, data.get(f"text-{row}", ""), data.get(f"answer-{row}", "")) for row in range(1, ROWS + 1)]

    def _new_examples(self) -> Iterator[tuple[Shot, Picture | None]]:
        for row, text, answer in self.rows:
            file = self.files.get(f"picture-{row}")
            if file is None and not text.strip() and not answer.strip():
                continue
            if not answer.strip():
                raise UserError(f"New example {row} has no answer.", hint="Say what is to be answered about it.")
            picture = _read(file, row) if file is not None else None
            ref = picture.ref if picture else None
            yield Shot(picture=ref, text=text.strip(), output=answer.replace("\r\n", "\n").strip()), picture


def _read(file: UploadedFile[Any], row: int) -> Picture:
    try:
        return normalise(file.read(MAX_BYTES + 1))
    except UserError as error:
        raise UserError(f"New example {row}: {error.what}", hint=error.hint) from None
