from django.db import migrations, models

from employees.operations import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # an index is built beside the work

    dependencies = [
        ('telephony', '0008_trials'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='call',
            index=models.Index(condition=models.Q(('source', 'trial')), fields=['company', '-id'], name='call_played'),
        ),
    ]
