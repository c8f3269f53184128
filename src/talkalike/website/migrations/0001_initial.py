"""The site's first table."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Log-ins that failed."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="LoginAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("account", models.CharField(max_length=64)),
                ("address", models.CharField(max_length=64)),
                ("at", models.DateTimeField()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["address", "at"], name="attempts_from_address"),
                    models.Index(fields=["at"], name="attempts_by_age"),
                ],
            },
        ),
    )
