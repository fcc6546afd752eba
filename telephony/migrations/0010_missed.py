import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from employees.operations import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # the index is built beside the work

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('telephony', '0009_trials_index'),
    ]

    operations = [
        migrations.CreateModel(
            name='MissedNote',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='closed')),
                ('words', models.CharField(blank=True, max_length=500, verbose_name='note')),
                ('by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='closed by')),
                ('call', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='missed_note', to='telephony.call')),
            ],
            options={
                'verbose_name': 'missed call closed by hand',
                'verbose_name_plural': 'missed calls closed by hand',
            },
        ),
        AddIndexConcurrently(
            model_name='call',
            index=models.Index(condition=models.Q(('answered_at', None), ('direction', 'in'), ('state', 'finished')), fields=['company', '-started_at', '-id'], name='call_missed'),
        ),
    ]
