"""The owner's page of batches: makes them from stored replies, closes them, opens them again, shows the names."""

from __future__ import annotations

import secrets
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_POST

from talkalike.store.judging import items, pairs
from talkalike.website.access import Role, needs
from talkalike.website.answers import redirect
from talkalike.website.data import read, write
from talkalike.website.judge import making
from talkalike.website.visitors import judge_of

MAX_PAIRS = 2000
MAX_NAME = 120
CHANGES = {
    "close": (pairs.close_batch, "The batch is closed.", "The batch was not open."),
    "reopen": (
        pairs.reopen_batch,
        "The batch is open again.",
        "The batch was not closed, or its names are already shown.",
    ),
    "reveal": (pairs.reveal_batch, "The names are shown.", "The names were already shown."),
}


class BatchForm(forms.Form):
    """Whose replies a new batch pairs, and how many pairs it has."""

    name = forms.CharField(
        label="Name", max_length=MAX_NAME, help_text="Judges see this name, so it must not name a model."
    )
    models = forms.MultipleChoiceField(label="Replies by", widget=forms.CheckboxSelectMultiple)
    count = forms.IntegerField(label="How many pairs", min_value=1, max_value=MAX_PAIRS, initial=40)
    same_model = forms.BooleanField(
        label="Also pair two replies of the same model",
        required=False,
        help_text="Useful as preference data, but says nothing about which model is better.",
    )

    def __init__(self, *args: Any, found: list[tuple[str, int]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(model, f"{model} ({count:,} {'reply' if count == 1 else 'replies'})") for model, count in found]
        field = self.fields["models"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = choices

    def clean(self) -> dict[str, Any]:
        """Refuses a name that tells judges what they must not know. Raises ValidationError."""
        given = super().clean() or {}
        if pairs.names_a_model(given.get("name", ""), given.get("models", ())):
            self.add_error("name", "Judges see this name before they choose, so it must not name a model.")
        return given


@needs(Role.OWNER)
@require_http_methods(["GET", "HEAD", "POST"])
def batches(request: HttpRequest) -> HttpResponse:
    """Lists the batches and makes new ones."""
    found = read(items.by_model)
    form = BatchForm(request.POST or None, found=found)
    if request.method == "POST" and form.is_valid():
        made = _make(form.cleaned_data, by=judge_of(request).id)
        if made:
            wanted = form.cleaned_data["count"]
            more = "" if made == wanted else f" You asked for {wanted:,}; there are no more."
            messages.success(request, f"A batch with {made:,} {'pair' if made == 1 else 'pairs'} was made.{more}")
            return redirect(request, "judge:batches")
        form.add_error("models", "These models have no two replies to the same messages. Choose more models.")
    context = {"form": form, "batches": read(pairs.batches), "found": found}
    return render(request, "website/judge/batches.html", context, status=400 if form.errors else 200)


@needs(Role.OWNER)
@require_POST
def change(request: HttpRequest, batch: int, state: str) -> HttpResponse:
    """Closes or opens a batch, or shows its names."""
    if state not in CHANGES or read(pairs.state_of, batch) is None:
        raise Http404("There is no such batch, or no longer.")
    function, done, undone = CHANGES[state]
    changed = write(function, batch)
    messages.add_message(request, messages.SUCCESS if changed else messages.WARNING, done if changed else undone)
    return redirect(request, "judge:batches")


def _make(given: dict[str, Any], *, by: int) -> int:
    """Makes the batch, and returns how many pairs it has; without any there is no batch."""
    seed = secrets.randbits(48)
    groups = read(items.answers, given["models"])
    chosen = making.choose_pairs(groups, given["count"], same_model=given["same_model"], seed=seed)
    if not chosen:
        return 0
    batch = write(pairs.make_batch, given["name"], seed=seed, by=by)
    parts = (chosen[start : start + making.CHUNK] for start in range(0, len(chosen), making.CHUNK))
    return sum(write(making.store_pairs, part, batch) for part in parts)
