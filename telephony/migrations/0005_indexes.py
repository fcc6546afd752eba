from django.db import migrations, models

from employees.operations import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # indexes are built beside the work

    dependencies = [
        ('telephony', '0004_keeping'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='inboxevent',
            index=models.Index(fields=['connection', 'received_at'], name='inbox_by_connection'),
        ),
        AddIndexConcurrently(
            model_name='recording',
            index=models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='recording_to_fetch'),
        ),
        AddIndexConcurrently(
            model_name='recording',
            index=models.Index(condition=models.Q(('waits_for_storage', True)), fields=['company'], name='recording_waits'),
        ),
        AddIndexConcurrently(
            model_name='recording',
            index=models.Index(condition=models.Q(('state', 'stored')), fields=['company', 'stored_at'], name='recording_stored'),
        ),
    ]
