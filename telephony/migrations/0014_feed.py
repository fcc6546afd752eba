from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models.functions import Now

from employees.operations import AddIndexConcurrently


def of_one_form(apps: Any, schema_editor: Any) -> None:
    """SQLite compares times as text, and writes its own with fewer digits than Django."""
    if schema_editor.connection.vendor == "sqlite":
        apps.get_model("telephony", "Call").objects.update(changed_at=django.utils.timezone.now())


class Migration(migrations.Migration):
    atomic = False  # the index is built beside the work

    dependencies = [
        ('employees', '0005_masks'),
        ('telephony', '0013_hours'),
    ]

    operations = [
        migrations.AddField(
            model_name='call',
            name='changed_at',
            field=models.DateTimeField(db_default=Now(), default=django.utils.timezone.now, editable=False),
        ),
        migrations.RunPython(of_one_form, migrations.RunPython.noop),
        migrations.CreateModel(
            name='CallGone',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uuid', models.UUIDField(editable=False)),
                ('into', models.UUIDField(null=True)),
                ('changed_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('company', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='employees.company')),
            ],
            options={
                'indexes': [models.Index(fields=['company', 'changed_at', 'id'], name='gone_changed')],
            },
        ),
        AddIndexConcurrently(
            model_name='call',
            index=models.Index(fields=['company', 'changed_at', 'id'], name='call_changed'),
        ),
    ]
