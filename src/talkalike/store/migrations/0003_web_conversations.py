# Made by makemigrations (Django 5.2), then read. A migration that was released is never changed.
# ruff: noqa: RUF012 - lists, as Django writes them

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("store", "0002_judging"),
    ]

    operations = [
        migrations.CreateModel(
            name="WebConversation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("owner", models.CharField(max_length=80)),
                ("title", models.TextField(default="")),
                ("name", models.TextField(default="")),
                ("model", models.TextField(default="")),
                ("options", models.JSONField(default=dict)),
                ("head", models.BigIntegerField(default=0)),
                ("version", models.BigIntegerField(default=0)),
                ("made_at", models.DateTimeField()),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["owner", "-changed_at", "-id"], name="conversations_of_owner")],
            },
        ),
        migrations.CreateModel(
            name="WebMessage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=8)),
                ("text", models.TextField(default="")),
                ("parts", models.JSONField(default=list)),
                ("state", models.CharField(default="", max_length=8)),
                ("model", models.TextField(default="")),
                ("speaker", models.TextField(default="")),
                ("sampling", models.JSONField(default=dict)),
                ("seen", models.JSONField(default=dict)),
                ("item_id", models.BigIntegerField(null=True)),
                ("tokens", models.IntegerField(default=0)),
                ("seconds", models.FloatField(default=0.0)),
                ("problem", models.TextField(default="")),
                ("token", models.CharField(default="", max_length=40)),
                ("at", models.DateTimeField()),
                (
                    "conversation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="messages", to="store.webconversation"
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, to="store.webmessage"),
                ),
            ],
        ),
        migrations.CreateModel(
            name="WebPicture",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.TextField()),
                ("content_type", models.CharField(max_length=40)),
                ("width", models.IntegerField()),
                ("height", models.IntegerField()),
                ("data", models.BinaryField()),
                (
                    "message",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="pictures", to="store.webmessage"
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="webmessage",
            constraint=models.UniqueConstraint(
                condition=models.Q(("token", ""), _negated=True),
                fields=("conversation", "token"),
                name="one_message_per_form",
            ),
        ),
    ]
