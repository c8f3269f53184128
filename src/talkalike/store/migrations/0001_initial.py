# Made by makemigrations (Django 5.2), then read. A migration that was released is never changed.
# ruff: noqa: RUF012 - lists, as Django writes them

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Person",
            fields=[
                ("user_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("training", models.BooleanField(default=False)),
                ("seen", models.BooleanField(default=True)),
                ("since", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Reply",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("trigger_id", models.BigIntegerField()),
                ("attempt", models.PositiveIntegerField()),
                ("channel_id", models.BigIntegerField()),
                ("server_id", models.BigIntegerField()),
                ("thread", models.BooleanField()),
                ("asker_id", models.BigIntegerField(db_index=True)),
                ("model", models.TextField()),
                ("sampling", models.JSONField()),
                ("test", models.BooleanField()),
                ("state", models.CharField(max_length=16)),
                ("began_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("tokens", models.PositiveIntegerField(default=0)),
                ("seconds", models.FloatField(default=0.0)),
                ("first_seconds", models.FloatField(null=True)),
                ("problem", models.TextField(default="")),
                ("reactions", models.JSONField(default=list)),
                ("seen", models.JSONField(default=dict)),
            ],
        ),
        migrations.CreateModel(
            name="Server",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("name", models.TextField()),
                ("joined_at", models.DateTimeField()),
                ("left_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="TestSchedule",
            fields=[
                ("server_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("channel_ids", models.JSONField()),
                ("every_hours", models.FloatField()),
                ("next_at", models.DateTimeField()),
                ("by", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="ContextMark",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("channel_id", models.BigIntegerField()),
                ("message_id", models.BigIntegerField()),
                ("server_id", models.BigIntegerField()),
                ("kind", models.CharField(max_length=8)),
                ("by", models.BigIntegerField()),
                ("at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("channel_id", "message_id"), name="one_mark_per_message")
                ],
            },
        ),
        migrations.CreateModel(
            name="PermissionChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("server_id", models.BigIntegerField()),
                ("subject", models.CharField(max_length=16)),
                ("subject_id", models.BigIntegerField()),
                ("kind", models.CharField(max_length=8)),
                ("previous", models.SmallIntegerField(null=True)),
                ("value", models.SmallIntegerField(null=True)),
                ("by", models.BigIntegerField()),
                ("at", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["server_id", "-id"], name="changes_of_server")],
            },
        ),
        migrations.CreateModel(
            name="PermissionRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("server_id", models.BigIntegerField()),
                ("subject", models.CharField(max_length=16)),
                ("subject_id", models.BigIntegerField()),
                ("kind", models.CharField(max_length=8)),
                ("value", models.SmallIntegerField()),
                ("by", models.BigIntegerField()),
                ("at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("server_id", "subject", "subject_id", "kind"), name="one_rule_per_subject"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ScopedOption",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("scope", models.CharField(max_length=8)),
                ("scope_id", models.BigIntegerField()),
                ("server_id", models.BigIntegerField()),
                ("key", models.CharField(max_length=64)),
                ("value", models.JSONField(null=True)),
                ("by", models.BigIntegerField()),
                ("at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("scope", "scope_id", "key"), name="one_value_per_scope")
                ],
            },
        ),
        migrations.CreateModel(
            name="SeenText",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("message_id", models.BigIntegerField()),
                ("digest", models.CharField(max_length=32)),
                ("channel_id", models.BigIntegerField(db_index=True)),
                ("server_id", models.BigIntegerField()),
                ("author_id", models.BigIntegerField(db_index=True)),
                ("speaker", models.TextField()),
                ("text", models.TextField()),
                ("seen_at", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["server_id", "seen_at"], name="texts_of_server")],
                "constraints": [models.UniqueConstraint(fields=("message_id", "digest"), name="one_row_per_wording")],
            },
        ),
        migrations.CreateModel(
            name="SentMessage",
            fields=[
                ("message_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("index", models.PositiveIntegerField()),
                ("text", models.TextField()),
                ("at", models.DateTimeField()),
                (
                    "reply",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="messages", to="store.reply"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TestRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("server_id", models.BigIntegerField()),
                ("channel_ids", models.JSONField()),
                ("by", models.BigIntegerField()),
                ("model", models.TextField()),
                ("began_at", models.DateTimeField()),
                ("seconds", models.FloatField()),
                ("scores", models.JSONField()),
                ("results", models.JSONField()),
                ("report_message_id", models.BigIntegerField(null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["server_id", "-id"], name="test_runs_of_server")],
            },
        ),
        migrations.AddField(
            model_name="reply",
            name="test_run",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="replies", to="store.testrun"
            ),
        ),
        migrations.CreateModel(
            name="Usage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("server_id", models.BigIntegerField()),
                ("user_id", models.BigIntegerField()),
                ("replies", models.PositiveBigIntegerField(default=0)),
                ("tokens", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["user_id"], name="usage_of_user")],
                "constraints": [
                    models.UniqueConstraint(fields=("day", "server_id", "user_id"), name="one_usage_per_day")
                ],
            },
        ),
        migrations.AddIndex(
            model_name="reply",
            index=models.Index(fields=["channel_id", "-id"], name="replies_of_channel"),
        ),
        migrations.AddIndex(
            model_name="reply",
            index=models.Index(fields=["server_id", "began_at"], name="replies_of_server"),
        ),
        migrations.AddIndex(
            model_name="reply",
            index=models.Index(condition=models.Q(("state", "writing")), fields=["-id"], name="unfinished_replies"),
        ),
        migrations.AddIndex(
            model_name="reply",
            index=models.Index(
                condition=models.Q(("problem", ""), _negated=True), fields=["-id"], name="replies_with_problems"
            ),
        ),
        migrations.AddConstraint(
            model_name="reply",
            constraint=models.UniqueConstraint(fields=("trigger_id", "attempt"), name="one_reply_per_attempt"),
        ),
    ]
