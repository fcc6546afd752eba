import django.db.models.deletion
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('employees', '0005_masks'),
        ('telephony', '0011_pulse'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='PlannedCall',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uuid', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('phone', models.CharField(max_length=32, verbose_name='number')),
                ('words', models.CharField(blank=True, max_length=500, verbose_name='what about')),
                ('due_at', models.DateTimeField(blank=True, null=True, verbose_name='not before')),
                ('origin', models.CharField(choices=[('hand', 'planned by hand'), ('list', 'from a list'), ('missed', 'after a missed call')], default='hand', max_length=8, verbose_name='origin')),
                ('made_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='planned')),
                ('done_at', models.DateTimeField(null=True, verbose_name='done')),
                ('note', models.CharField(blank=True, max_length=500, verbose_name='note')),
                ('call', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='telephony.call', verbose_name='call')),
                ('company', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='employees.company')),
                ('done_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='closed by')),
                ('employee', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='employees.employee', verbose_name='for whom')),
                ('made_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='planned by')),
            ],
            options={
                'verbose_name': 'planned call',
                'verbose_name_plural': 'planned calls',
                'indexes': [models.Index(condition=models.Q(('done_at', None)), fields=['company', 'phone'], name='planned_open'), models.Index(condition=models.Q(('done_at__isnull', False)), fields=['company', '-done_at'], name='planned_done')],
            },
        ),
    ]
