"""The addresses of the blind test."""

from __future__ import annotations

from django.urls import path

from talkalike.website.guess import round_views, views

app_name = "guess"

urlpatterns = [
    path("", views.index, name="index"),
    path("rounds/", round_views.rounds, name="rounds"),
    path("rounds/invite/", round_views.invite, name="invite"),
    path("rounds/<int:number>/<str:what>/", round_views.change, name="change"),
    path("<int:number>/", views.ask, name="ask"),
    path("<int:number>/start/", views.start, name="start"),
    path("<int:number>/guess/", views.take, name="take"),
]
