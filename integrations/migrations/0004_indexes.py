from django.db import migrations, models

from employees.operations import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # indexes are built beside the work

    dependencies = [
        ('integrations', '0003_keeping'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='callsync',
            index=models.Index(condition=models.Q(('state', 'wanted'), models.Q(('error_kind', ''), _negated=True)), fields=['credential', 'parked', 'error_kind', 'cause', 'failed_at'], name='sync_troubles'),
        ),
        AddIndexConcurrently(
            model_name='crmevent',
            index=models.Index(fields=['credential', '-received_at'], name='crm_event_by_account'),
        ),
    ]
