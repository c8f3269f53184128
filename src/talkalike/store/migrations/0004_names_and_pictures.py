# Made by makemigrations (Django 5.2), then read. A migration that was released is never changed.
# ruff: noqa: RUF012 - lists, as Django writes them

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("store", "0003_web_conversations"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="batch",
            options={"verbose_name_plural": "batches"},
        ),
        migrations.AlterModelOptions(
            name="guess",
            options={"verbose_name_plural": "guesses"},
        ),
        migrations.AlterModelOptions(
            name="person",
            options={"verbose_name_plural": "people"},
        ),
        migrations.AlterModelOptions(
            name="reply",
            options={"verbose_name_plural": "replies"},
        ),
        migrations.AlterModelOptions(
            name="tally",
            options={"verbose_name_plural": "tallies"},
        ),
        migrations.AlterModelOptions(
            name="usage",
            options={"verbose_name_plural": "usage"},
        ),
        migrations.AddIndex(
            model_name="webmessage",
            index=models.Index(
                condition=models.Q(("item_id__isnull", False)), fields=["item_id"], name="replies_that_are_judged"
            ),
        ),
    ]
