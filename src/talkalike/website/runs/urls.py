"""The addresses of runs and models."""

from __future__ import annotations

from django.urls import path

from talkalike.website.runs import changes, views

app_name = "runs"

urlpatterns = [
    path("", views.index, name="index"),
    path("new/", changes.new, name="new"),
    path("align/", changes.align, name="align"),
    path("compare/", views.compare, name="compare"),
    path("model/<str:name>/", views.model, name="model"),
    path("model/<str:name>/promote/", changes.promote, name="promote"),
    path("run/<str:name>/", views.run, name="run"),
    path("run/<str:name>/stop/", changes.stop, name="stop"),
    path("run/<str:name>/resume/", changes.resume, name="resume"),
]
