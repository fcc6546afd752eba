from django.db import migrations, models

from employees.operations import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # the index is built beside the work

    dependencies = [
        ('integrations', '0009_desk'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='crmevent',
            index=models.Index(condition=models.Q(('state__gte', 2)), fields=['credential', 'id'], name='crm_event_failed'),
        ),
    ]
