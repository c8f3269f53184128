"""What the owner does with tasks: adds them, changes them, and removes them."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_POST

from talkalike.chat.seeing.checking import split_name
from talkalike.errors import UserError
from talkalike.store.seeing import tasks
from talkalike.store.seeing.tasks import StoredTask
from talkalike.store.seeing.usable import begin_task, change_task
from talkalike.website.access import Role, needs
from talkalike.website.answers import redirect
from talkalike.website.data import write
from talkalike.website.tasks.forms import PICTURES, TaskForm
from talkalike.website.tasks.views import one_task, own_version, place_of

BY = 0  # as the terminal: the owner


@needs(Role.OWNER)
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, server: int) -> HttpResponse:
    """A new task with its first examples."""
    place = place_of(request, server)
    form = TaskForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            change, pictures = form.change()
            stored = write(begin_task, place, form.cleaned_data["name"], change, pictures, by=BY)
        except UserError as error:
            form.add_error(None, str(error))
        else:
            return _done(request, stored)
    return _form(request, "website/tasks/new.html", form, server=server)


@needs(Role.OWNER)
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, server: int, name: str) -> HttpResponse:
    """What is sent becomes a further version."""
    old = _own(request, server, name)
    form = TaskForm(request.POST or None, request.FILES or None, old=old.spec)
    if request.method == "POST" and form.is_valid():
        try:
            if request.POST.get("version") != str(old.number):
                raise UserError(
                    f"Somebody changed the task meanwhile: it is at version {old.number}.",
                    hint="Below are its examples as they are now; say again which go.",
                )
            change, pictures = form.change()
            stored = write(change_task, place_of(request, server), old.spec.name, change, pictures, by=BY)
        except UserError as error:
            form.add_error(None, str(error))
        else:
            return _done(request, stored)
    return _form(request, "website/tasks/edit.html", form, server=server, old=old)


@needs(Role.OWNER)
@require_POST
def remove(request: HttpRequest, server: int, name: str) -> HttpResponse:
    """All its versions and pictures go; what else needs a picture keeps it."""
    old = _own(request, server, name)
    write(tasks.remove, old.place, old.spec.name)
    messages.success(request, f"The task '{old.spec.name}' is gone, with all its versions.")
    return redirect(request, "tasks:index")


def _own(request: HttpRequest, server: int, name: str) -> StoredTask:
    """The newest version of the task, which is of that very place."""
    found = one_task(request, server, split_name(name)[0])
    stored = own_version(found, server)
    if stored is None:
        raise UserError(
            f"The task '{found.spec.name}' is {found.whose} and cannot be changed here.",
            hint="Add one of your own: under the same name it stands in its place.",
        )
    return stored


def _done(request: HttpRequest, stored: StoredTask) -> HttpResponse:
    messages.success(request, stored.words)
    return redirect(request, "tasks:task", stored.place.server_id, stored.spec.name)


def _form(
    request: HttpRequest, template: str, form: TaskForm, *, server: int, old: StoredTask | None = None
) -> HttpResponse:
    shots = list(enumerate(old.spec.shots, start=1)) if old else []
    context = {"form": form, "server": server, "old": old, "shots": shots, "accept": PICTURES}
    return render(request, template, context, status=400 if form.errors else 200)
