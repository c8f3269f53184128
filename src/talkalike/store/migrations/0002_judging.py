# Made by makemigrations (Django 5.2), then read. A migration that was released is never changed.
# ruff: noqa: RUF012 - lists, as Django writes them

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("store", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Batch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.TextField()),
                ("state", models.CharField(max_length=8)),
                ("seed", models.BigIntegerField()),
                ("server_id", models.BigIntegerField(default=0)),
                ("by", models.BigIntegerField(null=True)),
                ("made_at", models.DateTimeField()),
                ("closed_at", models.DateTimeField(null=True)),
                ("revealed_at", models.DateTimeField(null=True)),
                ("scores", models.JSONField(default=dict)),
                ("scored_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="GuessRound",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.TextField()),
                ("open", models.BooleanField(default=True)),
                ("as_preferences", models.BooleanField(default=False)),
                ("server_id", models.BigIntegerField(default=0)),
                ("made_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Invitation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("group", models.CharField(max_length=8)),
                ("note", models.TextField()),
                ("by", models.BigIntegerField(null=True)),
                ("uses", models.PositiveIntegerField()),
                ("used", models.PositiveIntegerField(default=0)),
                ("made_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Agreement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("scale", models.CharField(max_length=16)),
                ("votes", models.CharField(max_length=120)),
                ("count", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("scale", "votes"), name="one_agreement")],
            },
        ),
        migrations.CreateModel(
            name="Item",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=32, unique=True)),
                ("server_id", models.BigIntegerField(default=0)),
                ("origin", models.CharField(max_length=16)),
                ("model", models.TextField()),
                ("speaker", models.TextField(default="")),
                ("context", models.JSONField(default=list)),
                ("messages", models.JSONField(default=list)),
                ("sampling", models.JSONField(default=dict)),
                ("may_train", models.BooleanField(default=True)),
                ("made_at", models.DateTimeField()),
                ("gone_at", models.DateTimeField(null=True)),
                (
                    "reply",
                    models.OneToOneField(null=True, on_delete=django.db.models.deletion.SET_NULL, to="store.reply"),
                ),
            ],
        ),
        migrations.CreateModel(
            name="GuessQuestion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("arm", models.CharField(max_length=16)),
                ("real_first", models.BooleanField()),
                ("guesses", models.IntegerField(default=0)),
                (
                    "round",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="questions", to="store.guessround"
                    ),
                ),
                (
                    "other",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="store.item"),
                ),
                (
                    "real",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="store.item"),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ItemScore",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("scale", models.CharField(max_length=16)),
                ("kind", models.CharField(max_length=8)),
                ("votes", models.JSONField(default=dict)),
                ("count", models.IntegerField(default=0)),
                ("mean", models.FloatField(default=0.0)),
                ("rank", models.FloatField(default=3.0)),
                ("item", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="store.item")),
            ],
        ),
        migrations.CreateModel(
            name="Judge",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("pseudonym", models.CharField(max_length=120, unique=True)),
                ("kind", models.CharField(max_length=8)),
                ("group", models.CharField(max_length=8)),
                ("user_id", models.BigIntegerField(null=True, unique=True)),
                ("account_id", models.BigIntegerField(null=True, unique=True)),
                ("consent_at", models.DateTimeField(null=True)),
                ("blocked_at", models.DateTimeField(null=True)),
                ("made_at", models.DateTimeField()),
                (
                    "invitation",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, to="store.invitation"),
                ),
            ],
        ),
        migrations.AddField(
            model_name="item",
            name="author",
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, to="store.judge"),
        ),
        migrations.CreateModel(
            name="Guess",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("right", models.BooleanField()),
                ("seconds", models.FloatField(null=True)),
                ("face", models.CharField(max_length=16)),
                ("at", models.DateTimeField()),
                (
                    "question",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="given", to="store.guessquestion"
                    ),
                ),
                ("judge", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="store.judge")),
            ],
        ),
        migrations.CreateModel(
            name="Pair",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=32, unique=True)),
                ("a_first", models.BooleanField()),
                ("spread", models.FloatField(default=0.0)),
                ("unsure", models.FloatField(default=0.0)),
                ("wanted", models.SmallIntegerField(default=1)),
                ("missing", models.SmallIntegerField(default=1)),
                ("judged", models.IntegerField(default=0)),
                ("last_judge_id", models.BigIntegerField(default=0)),
                ("reserved_until", models.DateTimeField(null=True)),
                ("votes", models.JSONField(default=dict)),
                ("made_at", models.DateTimeField()),
                (
                    "a",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="store.item"),
                ),
                (
                    "b",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="store.item"),
                ),
                (
                    "batch",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="pairs", to="store.batch"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Judgement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("type", models.CharField(max_length=12)),
                ("scale", models.CharField(default="", max_length=16)),
                ("round", models.SmallIntegerField(default=0)),
                ("value", models.SmallIntegerField(null=True)),
                ("choice", models.CharField(default="", max_length=8)),
                ("text", models.TextField(default="")),
                ("a_first", models.BooleanField(null=True)),
                ("seconds", models.FloatField(null=True)),
                ("face", models.CharField(max_length=16)),
                ("at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("replaces_id", models.BigIntegerField(null=True)),
                ("item", models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, to="store.item")),
                (
                    "judge",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to="store.judge"),
                ),
                ("pair", models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, to="store.pair")),
            ],
        ),
        migrations.CreateModel(
            name="Assignment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("round", models.SmallIntegerField()),
                ("a_first", models.BooleanField()),
                ("after", models.IntegerField(default=0)),
                ("done", models.BooleanField(default=False)),
                (
                    "batch",
                    models.ForeignKey(
                        db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, to="store.batch"
                    ),
                ),
                (
                    "judge",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="store.judge"),
                ),
                ("pair", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="store.pair")),
            ],
        ),
        migrations.CreateModel(
            name="Tally",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("kind", models.CharField(max_length=8)),
                ("type", models.CharField(max_length=12)),
                ("scale", models.CharField(max_length=16)),
                ("model_a", models.TextField()),
                ("model_b", models.TextField()),
                ("value", models.CharField(max_length=8)),
                ("first", models.SmallIntegerField()),
                ("count", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("day", "kind", "type", "scale", "model_a", "model_b", "value", "first"),
                        name="one_tally",
                    )
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="guessquestion",
            constraint=models.UniqueConstraint(fields=("round", "real", "other"), name="one_question"),
        ),
        migrations.AddIndex(
            model_name="itemscore",
            index=models.Index(
                condition=models.Q(("count__gt", 0)), fields=["scale", "kind", "rank", "id"], name="worst_replies"
            ),
        ),
        migrations.AddConstraint(
            model_name="itemscore",
            constraint=models.UniqueConstraint(fields=("item", "scale", "kind"), name="one_score"),
        ),
        migrations.AddIndex(
            model_name="item",
            index=models.Index(
                condition=models.Q(("server_id", 0), _negated=True), fields=["server_id"], name="items_of_server"
            ),
        ),
        migrations.AddIndex(
            model_name="item",
            index=models.Index(fields=["model"], name="items_of_model"),
        ),
        migrations.AddConstraint(
            model_name="guess",
            constraint=models.UniqueConstraint(fields=("question", "judge"), name="one_guess"),
        ),
        migrations.AddIndex(
            model_name="pair",
            index=models.Index(
                condition=models.Q(("judged", 0), ("missing__gt", 0)),
                fields=["batch", "-unsure", "id"],
                name="fresh_pairs",
            ),
        ),
        migrations.AddIndex(
            model_name="pair",
            index=models.Index(
                condition=models.Q(("judged__gt", 0), ("missing__gt", 0)),
                fields=["batch", "-unsure", "id", "last_judge_id"],
                name="second_opinions",
            ),
        ),
        migrations.AddIndex(
            model_name="judgement",
            index=models.Index(fields=["judge", "-id"], name="judgements_of_judge"),
        ),
        migrations.AddIndex(
            model_name="judgement",
            index=models.Index(condition=models.Q(("round", 1)), fields=["pair", "judge"], name="repeated_judgements"),
        ),
        migrations.AddConstraint(
            model_name="judgement",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at", None), ("item__isnull", False)),
                fields=("judge", "item", "type", "scale"),
                name="one_judgement_per_item",
            ),
        ),
        migrations.AddConstraint(
            model_name="judgement",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at", None), ("pair__isnull", False)),
                fields=("judge", "pair", "round"),
                name="one_judgement_per_pair",
            ),
        ),
        migrations.AddIndex(
            model_name="assignment",
            index=models.Index(
                condition=models.Q(("done", False)), fields=["judge", "batch", "after"], name="open_assignments"
            ),
        ),
        migrations.AddIndex(
            model_name="assignment",
            index=models.Index(condition=models.Q(("done", True)), fields=["judge", "batch"], name="done_assignments"),
        ),
        migrations.AddConstraint(
            model_name="assignment",
            constraint=models.UniqueConstraint(fields=("judge", "pair", "round"), name="one_assignment"),
        ),
    ]
