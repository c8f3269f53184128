"""The addresses of tasks. `server`: a Discord server's id, 0 for everybody's tasks; a name may have a version."""

from __future__ import annotations

from django.urls import path

from talkalike.website.tasks import asking, changes, measuring, views

app_name = "tasks"

urlpatterns = [
    path("", views.index, name="index"),
    path("<int:server>/new/", changes.new, name="new"),
    path("<int:server>/task/<str:name>/", views.task, name="task"),
    path("<int:server>/task/<str:name>/ask/", asking.ask, name="ask"),
    path("<int:server>/task/<str:name>/edit/", changes.edit, name="edit"),
    path("<int:server>/task/<str:name>/remove/", changes.remove, name="remove"),
    path("<int:server>/task/<str:name>/measure/", measuring.measure, name="measure"),
    path("<int:server>/task/<str:name>/picture/<str:picture_hash>/", views.picture, name="picture"),
]
