import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('telephony', '0010_missed'),
    ]

    operations = [
        migrations.CreateModel(
            name='ConnectionDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('events', models.PositiveIntegerField(default=0)),
                ('refused', models.PositiveIntegerField(default=0)),
                ('down_minutes', models.PositiveSmallIntegerField(default=0)),
                ('connection', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='pulse', to='telephony.connection')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('connection', 'day'), name='one_pulse_per_day')],
            },
        ),
    ]
