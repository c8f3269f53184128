"""The tables of conversations on the website; only this room touches them."""

# Only a plugin that runs Django while types are checked knows the fields' types; without it they are Any.
# mypy: disable-error-code="var-annotated"

from __future__ import annotations

from django.db import models


class WebConversation(models.Model):
    """A conversation of one visitor with the double. `owner` is the visitor's key, `name` what the double calls them.

    `head` is the last message of the branch that is shown (0: nothing was said), `version` counts its changes.
    """

    owner = models.CharField(max_length=80)
    title = models.TextField(default="")
    name = models.TextField(default="")
    model = models.TextField(default="")
    options = models.JSONField(default=dict)
    head = models.BigIntegerField(default=0)
    version = models.BigIntegerField(default=0)
    made_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=("owner", "-changed_at", "-id"), name="conversations_of_owner"),)


class WebMessage(models.Model):
    """What was said, a reply (with all messages of its burst in `parts`), or the mark of a reset.

    Messages with the same `parent` are branches beside each other. `token` names a form that was sent: sent twice, it
    is one message. `item_id` is the reply as it can be judged.
    """

    conversation = models.ForeignKey(WebConversation, on_delete=models.CASCADE, related_name="messages")
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE)
    kind = models.CharField(max_length=8)
    text = models.TextField(default="")
    parts = models.JSONField(default=list)
    state = models.CharField(max_length=10, default="")
    model = models.TextField(default="")
    speaker = models.TextField(default="")
    sampling = models.JSONField(default=dict)
    seen = models.JSONField(default=dict)
    item_id = models.BigIntegerField(null=True)
    tokens = models.IntegerField(default=0)
    seconds = models.FloatField(default=0.0)
    problem = models.TextField(default="")
    token = models.CharField(max_length=40, default="")
    at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("conversation", "token"), name="one_message_per_form", condition=~models.Q(token="")
            ),
        )
        indexes = (
            models.Index(
                fields=("item_id",), name="replies_that_are_judged", condition=models.Q(item_id__isnull=False)
            ),
        )


class WebPicture(models.Model):
    """A picture that was sent with a message, as the site wrote it anew."""

    message = models.ForeignKey(WebMessage, on_delete=models.CASCADE, related_name="pictures")
    name = models.TextField()
    content_type = models.CharField(max_length=40)
    width = models.IntegerField()
    height = models.IntegerField()
    data = models.BinaryField()
