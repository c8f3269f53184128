"""The page itself, and what changes nothing that was said: settings, branches, pictures, export, deleting."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from django_htmx.middleware import HtmxDetails

from talkalike.errors import UserError
from talkalike.store.talking import conversations, messages
from talkalike.website.access import needs, visitor_of
from talkalike.website.answers import answer, image, redirect
from talkalike.website.chat import export, settings_form, view_models
from talkalike.website.chat.reply import LIVE
from talkalike.website.chat.talk import forget_saved
from talkalike.website.chat.talking_views import ROLES
from talkalike.website.data import read, write

LONGEST_NAME = 64


@needs(*ROLES)
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The conversations, and a place to begin a new one. With `?q=` those in which something was said."""
    return answer(
        request, page="website/chat/chat.html", part="website/chat/_list.html", context=view_models.page(request)
    )


@needs(*ROLES)
@require_safe
def conversation(request: HttpRequest, conversation_id: int) -> HttpResponse:
    """One conversation; for htmx the branch that is shown."""
    context = view_models.page(request, conversation_id)
    return answer(request, page="website/chat/chat.html", part="website/chat/_thread.html", context=context)


@needs(*ROLES)
@require_safe
def message(request: HttpRequest, conversation_id: int, message_id: int) -> HttpResponse:
    """One message, for scripts: a reply that has just ended, or an edit that was given up."""
    return render(request, "website/chat/_message.html", view_models.one_entry(request, conversation_id, message_id))


@needs(*ROLES)
@require_safe
def version(request: HttpRequest, conversation_id: int) -> HttpResponse:
    """A number that is another one once the conversation changed (in another tab)."""
    found = view_models.own_conversation(request, conversation_id)
    return HttpResponse(str(found.version), content_type="text/plain")


@needs(*ROLES)
@require_POST
def show(request: HttpRequest, conversation_id: int, message_id: int) -> HttpResponse:
    """Shows the newest branch that goes through a message."""
    _, tree = view_models.own_tree(request, conversation_id)
    if tree.get(message_id) is None:
        raise Http404("There is no such message in this conversation.")
    write(messages.show, conversation_id, tree.end_of(message_id))
    return _branch(request, conversation_id, anchor=f"m{message_id}")


@needs(*ROLES)
@require_POST
def reset(request: HttpRequest, conversation_id: int) -> HttpResponse:
    """From here on the double sees nothing of what was said before."""
    found, tree = view_models.own_tree(request, conversation_id)
    if tree.get(found.head) is not None:
        write(messages.reset, conversation_id, found.head)
        forget_saved(conversation_id)
    return _branch(request, conversation_id)


@needs(*ROLES)
@require_POST
def settings(request: HttpRequest, conversation_id: int) -> HttpResponse:
    """Sets the model, the name and the options of a conversation, from the next reply on."""
    found = view_models.own_conversation(request, conversation_id)
    name = " ".join(request.POST.get("name", "").split())
    model = request.POST.get("model", "")
    if len(name) > LONGEST_NAME:
        raise UserError(f"The name has {len(name)} characters, but at most {LONGEST_NAME} are allowed.")
    if model != found.model:
        view_models.known_model(model)
    options = settings_form.read(request.POST)
    title = request.POST.get("title", "").strip() or None
    write(conversations.change, found.owner, conversation_id, title=title, name=name, model=model, options=options)
    return redirect(request, "chat:conversation", conversation_id)


@needs(*ROLES)
@require_POST
def delete(request: HttpRequest, conversation_id: int) -> HttpResponse:
    """Deletes a conversation with everything in it."""
    found = view_models.own_conversation(request, conversation_id)
    if LIVE.of_conversation(conversation_id):
        raise UserError("The double is still writing in this conversation.", hint="Stop it first, then delete.")
    write(conversations.remove, found.owner, conversation_id)
    forget_saved(conversation_id)
    return redirect(request, "chat:index")


@needs(*ROLES)
@require_safe
def picture(request: HttpRequest, conversation_id: int, picture_id: int) -> HttpResponse:
    """The bytes of a picture that was sent."""
    found = read(messages.picture, visitor_of(request).key, conversation_id, picture_id)
    if found is None:
        raise Http404("There is no such picture in a conversation of yours.")
    return image(*found)


@needs(*ROLES)
@require_safe
def transcript(request: HttpRequest, conversation_id: int, form: str) -> HttpResponse:
    """The branch that is shown as a file: txt, json or html."""
    found, tree = view_models.own_tree(request, conversation_id)
    written = export.write(form, found, tree.path(found.head))
    headers = {"Content-Disposition": f'attachment; filename="conversation-{conversation_id}.{form}"'}
    return HttpResponse(written, content_type=export.TYPES[form], headers=headers)


def _branch(request: HttpRequest, conversation_id: int, anchor: str = "end") -> HttpResponse:
    if HtmxDetails(request):
        return render(request, "website/chat/_thread.html", view_models.thread(request, conversation_id))
    return redirect(request, f"{reverse('chat:conversation', args=[conversation_id])}#{anchor}")
