# Made by makemigrations (Django 5.2), then read. A migration that was released is never changed.
# ruff: noqa: RUF012 - lists, as Django writes them

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("store", "0005_one_reply_state"),
    ]

    operations = [
        migrations.CreateModel(
            name="KeptPicture",
            fields=[
                ("hash", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("data", models.BinaryField()),
                ("width", models.PositiveIntegerField()),
                ("height", models.PositiveIntegerField()),
                ("content_type", models.CharField(max_length=40)),
                ("frames", models.BinaryField(default=b"")),
                ("frame_count", models.PositiveIntegerField(default=1)),
                ("note", models.TextField(default="")),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="PictureTask",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("server_id", models.BigIntegerField()),
                ("owner_id", models.BigIntegerField(default=0)),
                ("name", models.CharField(max_length=64)),
                ("removed_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("server_id", "owner_id", "name"), name="one_task_per_name")
                ],
            },
        ),
        migrations.CreateModel(
            name="TaskVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("instruction", models.TextField(default="")),
                ("template", models.TextField()),
                ("stop", models.JSONField(default=list)),
                ("selection", models.CharField(max_length=10)),
                ("max_shots", models.PositiveIntegerField()),
                ("card", models.JSONField(default=dict)),
                ("by", models.BigIntegerField()),
                ("at", models.DateTimeField()),
                (
                    "task",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="versions", to="store.picturetask"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TaskExample",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("place", models.PositiveIntegerField()),
                ("text", models.TextField(default="")),
                ("output", models.TextField()),
                ("by", models.BigIntegerField()),
                (
                    "picture",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="examples",
                        to="store.keptpicture",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="examples", to="store.taskversion"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SeenWords",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("eye", models.CharField(max_length=200)),
                ("grade", models.CharField(max_length=10)),
                ("words", models.TextField()),
                ("sure", models.BooleanField()),
                ("at", models.DateTimeField()),
                ("hash", models.CharField(max_length=64)),
            ],
            options={
                "verbose_name_plural": "seen words",
                "constraints": [models.UniqueConstraint(fields=("hash", "eye", "grade"), name="one_wording_per_eye")],
            },
        ),
        migrations.CreateModel(
            name="SentPicture",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("message_id", models.BigIntegerField()),
                ("place", models.PositiveIntegerField()),
                ("hash", models.CharField(db_index=True, max_length=64)),
                ("width", models.PositiveIntegerField()),
                ("height", models.PositiveIntegerField()),
                ("channel_id", models.BigIntegerField(db_index=True)),
                ("server_id", models.BigIntegerField()),
                ("author_id", models.BigIntegerField(db_index=True)),
                ("at", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["server_id", "at"], name="pictures_of_server")],
                "constraints": [models.UniqueConstraint(fields=("message_id", "place"), name="one_picture_per_place")],
            },
        ),
        migrations.AddConstraint(
            model_name="taskversion",
            constraint=models.UniqueConstraint(fields=("task", "number"), name="one_version_per_number"),
        ),
        migrations.AddConstraint(
            model_name="taskexample",
            constraint=models.UniqueConstraint(fields=("version", "place"), name="one_example_per_place"),
        ),
    ]
