from django.db import migrations, models

from employees.operations import AddUniqueConcurrently


class Migration(migrations.Migration):
    atomic = False  # the index is built beside the work

    dependencies = [
        ('integrations', '0012_webhooks'),
    ]

    operations = [
        migrations.AddField(
            model_name='callsync',
            name='part',
            field=models.JSONField(null=True),
        ),
        AddUniqueConcurrently(
            model_name='callsync',
            constraint=models.UniqueConstraint(
                condition=models.Q(('part__isnull', True)),
                fields=('call', 'credential'),
                name='one_sync_per_whole_call_and_account',
            ),
        ),
        migrations.RemoveConstraint(
            model_name='callsync',
            name='one_sync_per_call_and_account',
        ),
    ]
