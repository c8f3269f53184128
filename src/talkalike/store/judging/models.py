"""The tables of judging; only this room touches them.

Counts that pages need at once (`Tally`, `Agreement`, the votes of `Pair` and `ItemScore`) are changed in the same
transaction as the judgements they count, so reading them costs the same at ten judgements and at a million.
"""

# Only a plugin that runs Django while types are checked knows the fields' types; without it they are Any.
# mypy: disable-error-code="var-annotated"

from __future__ import annotations

from typing import Any

from django.db import models


class Judge(models.Model):
    """Somebody who judges. Known to the outside by the pseudonym only, which is random and tells nothing.

    `user_id` is a Discord user's id, `account_id` that of an account of the website; an invited guest has neither.
    """

    pseudonym = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=8)
    group = models.CharField(max_length=8)
    user_id = models.BigIntegerField(null=True, unique=True)
    account_id = models.BigIntegerField(null=True, unique=True)
    invitation = models.ForeignKey("store.Invitation", null=True, on_delete=models.SET_NULL)
    consent_at = models.DateTimeField(null=True)
    blocked_at = models.DateTimeField(null=True)
    made_at = models.DateTimeField()


class Invitation(models.Model):
    """A link that lets people in. The link itself is not kept, only its hash."""

    digest = models.CharField(max_length=64, unique=True)
    group = models.CharField(max_length=8)
    note = models.TextField()
    by = models.BigIntegerField(null=True)
    uses = models.PositiveIntegerField()
    used = models.PositiveIntegerField(default=0)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)


class Item(models.Model):
    """A reply that can be judged. Those of Discord keep no text here: it is read from, and forgotten with, the reply.

    `author` is whose words the context holds, where that is somebody who can ask to be forgotten.
    """

    key = models.CharField(max_length=32, unique=True)
    reply = models.OneToOneField("store.Reply", null=True, on_delete=models.SET_NULL)
    server_id = models.BigIntegerField(default=0)
    author = models.ForeignKey(Judge, null=True, on_delete=models.SET_NULL)
    origin = models.CharField(max_length=16)
    model = models.TextField()
    speaker = models.TextField(default="")
    context = models.JSONField(default=list)
    messages = models.JSONField(default=list)
    sampling = models.JSONField(default=dict)
    may_train = models.BooleanField(default=True)
    made_at = models.DateTimeField()
    gone_at = models.DateTimeField(null=True)

    reply_id: int | None
    author_id: int | None

    class Meta:
        indexes = (
            models.Index(fields=("server_id",), name="items_of_server", condition=~models.Q(server_id=0)),
            models.Index(fields=("model",), name="items_of_model"),
        )


class Batch(models.Model):
    """Pairs that are judged together; the models' names are shown when it is done.

    `scores` are the models' standings as they were at `scored_at`, by which the next pairs are chosen.
    """

    name = models.TextField()
    state = models.CharField(max_length=8)
    seed = models.BigIntegerField()
    server_id = models.BigIntegerField(default=0)
    by = models.BigIntegerField(null=True)
    made_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    revealed_at = models.DateTimeField(null=True)
    scores = models.JSONField(default=dict)
    scored_at = models.DateTimeField(null=True)

    pairs: Any  # the manager of its pairs

    class Meta:
        verbose_name_plural = "batches"


class Pair(models.Model):
    """Two replies to the same context. `judged` people did judge it of `wanted`; `missing` is the difference.

    `last_judge_id` is the last of them; `reserved_until` keeps others away while somebody reads it.
    """

    key = models.CharField(max_length=32, unique=True)
    batch = models.ForeignKey(Batch, null=True, on_delete=models.PROTECT, related_name="pairs")
    a = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="+")
    b = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="+")
    a_first = models.BooleanField()
    spread = models.FloatField(default=0.0)
    unsure = models.FloatField(default=0.0)
    wanted = models.SmallIntegerField(default=1)
    missing = models.SmallIntegerField(default=1)
    judged = models.IntegerField(default=0)
    last_judge_id = models.BigIntegerField(default=0)
    reserved_until = models.DateTimeField(null=True)
    votes = models.JSONField(default=dict)
    made_at = models.DateTimeField()

    batch_id: int | None
    a_id: int
    b_id: int

    class Meta:
        indexes = (
            models.Index(
                fields=("batch", "-unsure", "id"), name="fresh_pairs", condition=models.Q(missing__gt=0, judged=0)
            ),
            models.Index(
                fields=("batch", "-unsure", "id", "last_judge_id"),
                name="second_opinions",
                condition=models.Q(missing__gt=0, judged__gt=0),
            ),
        )


class Assignment(models.Model):
    """A pair that was, or will be, shown to a judge, and in which order. `round` 1: a second time to the same judge.

    `after` is how many pairs of the batch they judge first.
    """

    judge = models.ForeignKey(Judge, on_delete=models.CASCADE, db_index=False)
    batch = models.ForeignKey(Batch, null=True, on_delete=models.CASCADE, db_index=False)
    pair = models.ForeignKey(Pair, on_delete=models.CASCADE)
    round = models.SmallIntegerField()
    a_first = models.BooleanField()
    after = models.IntegerField(default=0)
    done = models.BooleanField(default=False)

    judge_id: int
    pair_id: int

    class Meta:
        constraints = (models.UniqueConstraint(fields=("judge", "pair", "round"), name="one_assignment"),)
        indexes = (
            models.Index(fields=("judge", "batch", "after"), name="open_assignments", condition=models.Q(done=False)),
            models.Index(fields=("judge", "batch"), name="done_assignments", condition=models.Q(done=True)),
        )


class Judgement(models.Model):
    """What a judge said. Rows are added; the only change is that one ends, when it is replaced or withdrawn."""

    judge = models.ForeignKey(Judge, on_delete=models.PROTECT, db_index=False)
    type = models.CharField(max_length=12)
    item = models.ForeignKey(Item, null=True, on_delete=models.CASCADE)
    pair = models.ForeignKey(Pair, null=True, on_delete=models.CASCADE)
    scale = models.CharField(max_length=16, default="")
    round = models.SmallIntegerField(default=0)
    value = models.SmallIntegerField(null=True)
    choice = models.CharField(max_length=8, default="")
    text = models.TextField(default="")
    a_first = models.BooleanField(null=True)
    seconds = models.FloatField(null=True)
    face = models.CharField(max_length=16)
    at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    replaces_id = models.BigIntegerField(null=True)  # no foreign key: checking it would read the whole table

    judge_id: int
    item_id: int | None
    pair_id: int | None

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("judge", "item", "type", "scale"),
                name="one_judgement_per_item",
                condition=models.Q(ended_at=None, item__isnull=False),
            ),
            models.UniqueConstraint(
                fields=("judge", "pair", "round"),
                name="one_judgement_per_pair",
                condition=models.Q(ended_at=None, pair__isnull=False),
            ),
        )
        indexes = (
            models.Index(fields=("judge", "-id"), name="judgements_of_judge"),
            models.Index(fields=("pair", "judge"), name="repeated_judgements", condition=models.Q(round=1)),
        )


class ItemScore(models.Model):
    """The ratings of a reply on one scale and their mean.

    `rank` is the mean with two ratings of 3 added: the worst replies are those many people dislike, not those one does.
    """

    item = models.ForeignKey(Item, on_delete=models.CASCADE)
    scale = models.CharField(max_length=16)
    kind = models.CharField(max_length=8)
    votes = models.JSONField(default=dict)
    count = models.IntegerField(default=0)
    mean = models.FloatField(default=0.0)
    rank = models.FloatField(default=3.0)

    item_id: int

    class Meta:
        constraints = (models.UniqueConstraint(fields=("item", "scale", "kind"), name="one_score"),)
        indexes = (
            models.Index(fields=("scale", "kind", "rank", "id"), name="worst_replies", condition=models.Q(count__gt=0)),
        )


class Tally(models.Model):
    """How many judgements in force there are of each sort, by day. `model_a` < `model_b`; one model has no `model_b`.

    `value` is a rating, or who won ("a", "b", "tie", "both_bad", "skip"). `first`: 1 the reply shown first won, 0 the
    other, -1 neither.
    """

    day = models.DateField()
    kind = models.CharField(max_length=8)
    type = models.CharField(max_length=12)
    scale = models.CharField(max_length=16)
    model_a = models.TextField()
    model_b = models.TextField()
    value = models.CharField(max_length=8)
    first = models.SmallIntegerField()
    count = models.BigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "tallies"
        constraints = (
            models.UniqueConstraint(
                fields=("day", "kind", "type", "scale", "model_a", "model_b", "value", "first"), name="one_tally"
            ),
        )


class Agreement(models.Model):
    """How many pairs or replies were judged alike: `votes` says "a:2 tie:1", `count` how many have just these votes."""

    scale = models.CharField(max_length=16)  # "" for comparisons
    votes = models.CharField(max_length=120)
    count = models.BigIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("scale", "votes"), name="one_agreement"),)


class GuessRound(models.Model):
    """A friends' blind test. `as_preferences`: the owner lets its guesses be learned from."""

    name = models.TextField()
    open = models.BooleanField(default=True)
    as_preferences = models.BooleanField(default=False)
    server_id = models.BigIntegerField(default=0)
    made_at = models.DateTimeField()


class GuessQuestion(models.Model):
    """A context, what the person really wrote, and what a model wrote instead. `arm`: "double", "base", "prompted"."""

    round = models.ForeignKey(GuessRound, on_delete=models.CASCADE, related_name="questions")
    arm = models.CharField(max_length=16)
    real = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="+")
    other = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="+")
    real_first = models.BooleanField()
    guesses = models.IntegerField(default=0)

    real_id: int
    other_id: int

    class Meta:
        constraints = (models.UniqueConstraint(fields=("round", "real", "other"), name="one_question"),)


class Guess(models.Model):
    """Which of the two somebody took for the real one."""

    question = models.ForeignKey(GuessQuestion, on_delete=models.CASCADE, related_name="given")
    judge = models.ForeignKey(Judge, on_delete=models.CASCADE)
    right = models.BooleanField()
    seconds = models.FloatField(null=True)
    face = models.CharField(max_length=16)
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "guesses"
        constraints = (models.UniqueConstraint(fields=("question", "judge"), name="one_guess"),)
