"""The tables of seeing. A picture's bytes are kept once, by hash, as long as a message or a task needs them."""

# Only a plugin that runs Django while types are checked knows the fields' types; without it they are Any.
# mypy: disable-error-code="var-annotated"

from __future__ import annotations

from typing import Any

from django.db import models


class KeptPicture(models.Model):
    """The bytes of a picture, as `talkalike.pictures` wrote them; `frames` are those of an animation, each with its
    length (4 bytes, the highest first) before it."""

    hash = models.CharField(primary_key=True, max_length=64)
    data = models.BinaryField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    content_type = models.CharField(max_length=40)
    frames = models.BinaryField(default=b"")
    frame_count = models.PositiveIntegerField(default=1)
    note = models.TextField(default="")
    at = models.DateTimeField()


class SentPicture(models.Model):
    """That a message on Discord holds a picture, by its hash: the bytes of what people send are not kept.

    `place`: the number among the files of its message, from 0.
    """

    message_id = models.BigIntegerField()
    place = models.PositiveIntegerField()
    hash = models.CharField(max_length=64, db_index=True)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    channel_id = models.BigIntegerField(db_index=True)
    server_id = models.BigIntegerField()
    author_id = models.BigIntegerField(db_index=True)
    at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("message_id", "place"), name="one_picture_per_place"),)
        indexes = (models.Index(fields=("server_id", "at"), name="pictures_of_server"),)


class SeenWords(models.Model):
    """What an eye (with its version) saw in a picture, by its hash, when it looked at it with this grade.

    Kept as long as a task keeps the picture, or a message is known to hold it.
    """

    hash = models.CharField(max_length=64)
    eye = models.CharField(max_length=200)
    grade = models.CharField(max_length=10)
    words = models.TextField()
    sure = models.BooleanField()
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "seen words"
        constraints = (models.UniqueConstraint(fields=("hash", "eye", "grade"), name="one_wording_per_eye"),)


class PictureTask(models.Model):
    """A task by example, by its name on a server (0: direct messages of `owner_id`, or the owner's for everybody)."""

    server_id = models.BigIntegerField()
    owner_id = models.BigIntegerField(default=0)
    name = models.CharField(max_length=64)
    removed_at = models.DateTimeField(null=True)

    versions: Any  # the manager of its versions

    class Meta:
        constraints = (models.UniqueConstraint(fields=("server_id", "owner_id", "name"), name="one_task_per_name"),)


class TaskVersion(models.Model):
    """A task as somebody left it; only ever added to. `card` is what it scored, empty until it was measured."""

    task = models.ForeignKey(PictureTask, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    instruction = models.TextField(default="")
    template = models.TextField()
    stop = models.JSONField(default=list)
    selection = models.CharField(max_length=10)
    max_shots = models.PositiveIntegerField()
    card = models.JSONField(default=dict)
    by = models.BigIntegerField()
    at = models.DateTimeField()

    examples: Any  # the manager of its examples

    class Meta:
        constraints = (models.UniqueConstraint(fields=("task", "number"), name="one_version_per_number"),)


class TaskExample(models.Model):
    """One shot: a picture (none in a task about text) and what is to be answered. `place` counts from 0."""

    version = models.ForeignKey(TaskVersion, on_delete=models.CASCADE, related_name="examples")
    place = models.PositiveIntegerField()
    picture = models.ForeignKey(KeptPicture, null=True, on_delete=models.PROTECT, related_name="examples")
    text = models.TextField(default="")
    output = models.TextField()
    by = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("version", "place"), name="one_example_per_place"),)
