"""The addresses of the judge page. A pair's address says which time it is that this judge sees it (0 or 1)."""

from __future__ import annotations

from django.urls import path, register_converter

from talkalike.website.judge import batch_views, picture_views, reply_views, views


class Again:
    """False for the first time, True for the repetition."""

    regex = "[01]"

    def to_python(self, value: str) -> bool:
        """Reads the value from the address."""
        return value == "1"

    def to_url(self, value: object) -> str:
        """Writes the value into the address."""
        return "1" if value else "0"


register_converter(Again, "again")
app_name = "judge"
PAIR = "<int:batch>/<int:pair>/<again:again>/"

urlpatterns = [
    path("", views.index, name="index"),
    path("consent/", views.consent, name="consent"),
    path("batches/", batch_views.batches, name="batches"),
    path("batches/<int:batch>/<str:state>/", batch_views.change, name="change"),
    path("<int:batch>/", views.go_on, name="batch"),
    path("<int:batch>/undo/", views.undo, name="undo"),
    path("<int:batch>/reveal/", views.reveal, name="reveal"),
    path(PAIR, views.pair, name="pair"),
    path(f"{PAIR}pictures/<int:picture_id>/", picture_views.picture, name="picture"),
    path(f"{PAIR}vote/", views.vote, name="vote"),
    path(f"{PAIR}rate/", reply_views.rate, name="rate"),
    path(f"{PAIR}correct/", reply_views.correct, name="correct"),
    path(f"{PAIR}flag/", reply_views.flag, name="flag"),
]
