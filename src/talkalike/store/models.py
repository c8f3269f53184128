"""The tables. Only this room touches them; the functions beside hand out plain values.

Ids of users, servers, channels and messages are Discord's 64-bit numbers. `server_id` is 0 for what belongs to no
server: direct messages, and what the bot's owner set for the whole bot. `by` is who did it, 0 where forgotten.
"""

# Only a plugin that runs Django while types are checked knows the fields' types; without it they are Any.
# mypy: disable-error-code="var-annotated"

from __future__ import annotations

from typing import Any

from django.db import models

# Django finds the tables of the app through this module.
import talkalike.store.judging.models
import talkalike.store.seeing.models
import talkalike.store.talking.models  # noqa: F401


class Server(models.Model):
    """A Discord server the bot is or was on."""

    id = models.BigIntegerField(primary_key=True)
    name = models.TextField()
    joined_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True)


class PermissionRule(models.Model):
    """A rule in force. `kind` is "level" or "access", `value` the number of the level or access."""

    server_id = models.BigIntegerField()
    subject = models.CharField(max_length=16)
    subject_id = models.BigIntegerField()
    kind = models.CharField(max_length=8)
    value = models.SmallIntegerField()
    by = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("server_id", "subject", "subject_id", "kind"), name="one_rule_per_subject"),
        )


class PermissionChange(models.Model):
    """What was changed about the rules; only ever added to. `value` is null where the rule was removed."""

    server_id = models.BigIntegerField()
    subject = models.CharField(max_length=16)
    subject_id = models.BigIntegerField()
    kind = models.CharField(max_length=8)
    previous = models.SmallIntegerField(null=True)
    value = models.SmallIntegerField(null=True)
    by = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=("server_id", "-id"), name="changes_of_server"),)


class ScopedOption(models.Model):
    """A setting of the bot, a server, a channel or a thread."""

    scope = models.CharField(max_length=8)
    scope_id = models.BigIntegerField()
    server_id = models.BigIntegerField()
    key = models.CharField(max_length=64)
    value = models.JSONField(null=True)
    by = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("scope", "scope_id", "key"), name="one_value_per_scope"),)


class ContextMark(models.Model):
    """A message that somebody dropped from, or pinned to, what the model sees of a channel."""

    channel_id = models.BigIntegerField()
    message_id = models.BigIntegerField()
    server_id = models.BigIntegerField()
    kind = models.CharField(max_length=8)
    by = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("channel_id", "message_id"), name="one_mark_per_message"),)


class TestRun(models.Model):
    """A finished run of /test with its scores."""

    server_id = models.BigIntegerField()
    channel_ids = models.JSONField()
    by = models.BigIntegerField()
    model = models.TextField()
    began_at = models.DateTimeField()
    seconds = models.FloatField()
    scores = models.JSONField()
    results = models.JSONField()
    report_message_id = models.BigIntegerField(null=True)

    replies: Any  # the manager of its replies

    class Meta:
        indexes = (models.Index(fields=("server_id", "-id"), name="test_runs_of_server"),)


class TestSchedule(models.Model):
    """When a server's /test runs by itself."""

    server_id = models.BigIntegerField(primary_key=True)
    channel_ids = models.JSONField()
    every_hours = models.FloatField()
    next_at = models.DateTimeField()
    by = models.BigIntegerField()


class Reply(models.Model):
    """One answer to one message. `attempt` counts from 1; each "regenerate" adds one.

    `seen` is {"kept": [{"text_id", "name", "tokens", "why"}], "left_out": [{"id", "tokens", "why"}], "budget"}. The
    texts and whose they are stand in SeenText, once for however many replies: forgetting one is a single change.
    """

    trigger_id = models.BigIntegerField()
    attempt = models.PositiveIntegerField()
    channel_id = models.BigIntegerField()
    server_id = models.BigIntegerField()
    thread = models.BooleanField()
    asker_id = models.BigIntegerField(db_index=True)
    model = models.TextField()
    sampling = models.JSONField()
    test = models.BooleanField()
    test_run = models.ForeignKey(TestRun, null=True, on_delete=models.SET_NULL, related_name="replies")
    state = models.CharField(max_length=16)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    tokens = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0.0)
    first_seconds = models.FloatField(null=True)
    problem = models.TextField(default="")
    reactions = models.JSONField(default=list)
    seen = models.JSONField(default=dict)

    messages: Any  # the manager of its Discord messages

    class Meta:
        verbose_name_plural = "replies"
        constraints = (models.UniqueConstraint(fields=("trigger_id", "attempt"), name="one_reply_per_attempt"),)
        indexes = (
            models.Index(fields=("channel_id", "-id"), name="replies_of_channel"),
            models.Index(fields=("server_id", "began_at"), name="replies_of_server"),
            models.Index(fields=("-id",), name="unfinished_replies", condition=models.Q(state="writing")),
            models.Index(fields=("-id",), name="replies_with_problems", condition=~models.Q(problem="")),
        )


class SentMessage(models.Model):
    """A Discord message that is part of a reply. `text` is empty once it was forgotten."""

    message_id = models.BigIntegerField(primary_key=True)
    reply = models.ForeignKey(Reply, on_delete=models.CASCADE, related_name="messages")
    index = models.PositiveIntegerField()
    text = models.TextField()
    at = models.DateTimeField()


class SeenText(models.Model):
    """A turn as the model read it: one row for each wording of a message, however many replies saw it.

    `message_id` is 0 for turns that are no message (the persona). A row with an empty `digest` says that the message
    was forgotten: its text is not stored again.
    """

    message_id = models.BigIntegerField()
    digest = models.CharField(max_length=32)
    channel_id = models.BigIntegerField(db_index=True)
    server_id = models.BigIntegerField()
    author_id = models.BigIntegerField(db_index=True)
    speaker = models.TextField()
    text = models.TextField()
    seen_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("message_id", "digest"), name="one_row_per_wording"),)
        indexes = (models.Index(fields=("server_id", "seen_at"), name="texts_of_server"),)


class Usage(models.Model):
    """What one person used on one server in one day (UTC)."""

    day = models.DateField()
    server_id = models.BigIntegerField()
    user_id = models.BigIntegerField()
    replies = models.PositiveBigIntegerField(default=0)
    tokens = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "usage"
        constraints = (models.UniqueConstraint(fields=("day", "server_id", "user_id"), name="one_usage_per_day"),)
        indexes = (models.Index(fields=("user_id",), name="usage_of_user"),)


class Person(models.Model):
    """What somebody agreed to; a person without a row has said nothing."""

    user_id = models.BigIntegerField(primary_key=True)
    training = models.BooleanField(default=False)
    seen = models.BooleanField(default=True)
    since = models.DateTimeField()

    class Meta:
        verbose_name_plural = "people"
