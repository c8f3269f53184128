# Replies on the website fare as replies on Discord do: one list of states. A released migration is never changed.
# ruff: noqa: RUF012 - lists, as Django writes them

from django.db import migrations, models

NEW_NAMES = {"stopped": "cancelled", "broken": "lost"}


def rename(apps, schema_editor):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - signature: Django
    messages = apps.get_model("store", "WebMessage").objects
    for old, new in NEW_NAMES.items():
        messages.filter(state=old).update(state=new)


def rename_back(apps, schema_editor):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - signature: Django
    messages = apps.get_model("store", "WebMessage").objects
    for old, new in NEW_NAMES.items():
        messages.filter(state=new).update(state=old)


class Migration(migrations.Migration):
    dependencies = [
        ("store", "0004_names_and_pictures"),
    ]

    operations = [
        migrations.AlterField(
            model_name="webmessage",
            name="state",
            field=models.CharField(default="", max_length=10),
        ),
        migrations.RunPython(rename, rename_back),
    ]
