"""The addresses of the statistics."""

from __future__ import annotations

from django.urls import path

from talkalike.website.insights import views

app_name = "insights"

urlpatterns = [
    path("", views.index, name="index"),
    path("worst/", views.worst, name="worst"),
    path("<slug:name>.csv", views.as_csv, name="csv"),
]
