"""Addresses of the chat page, below /chat/."""

from __future__ import annotations

from django.urls import path

from talkalike.website.chat import judging_views, talking_views, views

app_name = "chat"

urlpatterns = [
    path("", views.index, name="index"),
    path("new/", talking_views.new, name="new"),
    path("<int:conversation_id>/", views.conversation, name="conversation"),
    path("<int:conversation_id>/version/", views.version, name="version"),
    path("<int:conversation_id>/say/", talking_views.say, name="say"),
    path("<int:conversation_id>/stop/", talking_views.stop, name="stop"),
    path("<int:conversation_id>/reset/", views.reset, name="reset"),
    path("<int:conversation_id>/settings/", views.settings, name="settings"),
    path("<int:conversation_id>/delete/", views.delete, name="delete"),
    path("<int:conversation_id>/transcript.<str:form>", views.transcript, name="transcript"),
    path("<int:conversation_id>/pictures/<int:picture_id>/", views.picture, name="picture"),
    path("<int:conversation_id>/<int:message_id>/", views.message, name="message"),
    path("<int:conversation_id>/<int:message_id>/events/", talking_views.events, name="events"),
    path("<int:conversation_id>/<int:message_id>/again/", talking_views.again, name="again"),
    path("<int:conversation_id>/<int:message_id>/edit/", talking_views.edit, name="edit"),
    path("<int:conversation_id>/<int:message_id>/show/", views.show, name="show"),
    path("<int:conversation_id>/<int:message_id>/details/", judging_views.details, name="details"),
    path("<int:conversation_id>/<int:message_id>/rate/", judging_views.rate, name="rate"),
    path("<int:conversation_id>/<int:message_id>/correct/", judging_views.correct, name="correct"),
]
