import django.db.models.deletion
import encrypted_model_fields.fields
from django.db import migrations, models

from employees.operations import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # an index is built beside the work

    dependencies = [
        ('employees', '0005_masks'),
        ('telephony', '0015_planned_taken'),
    ]

    operations = [
        migrations.CreateModel(
            name='BrowserPhone',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('extension', models.CharField(max_length=32, verbose_name='extension')),
                ('login', models.CharField(blank=True, max_length=100, verbose_name='SIP user')),
                ('password', encrypted_model_fields.fields.EncryptedCharField(verbose_name='SIP password')),
                ('company', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='employees.company')),
                ('connection', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='browser_phones', to='telephony.connection', verbose_name='PBX connection')),
                ('employee', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='browser_phone', to='employees.employee')),
            ],
            options={
                'verbose_name': 'phone in the browser',
                'verbose_name_plural': 'phones in the browser',
            },
        ),
        AddIndexConcurrently(
            model_name='command',
            index=models.Index(fields=['connection', 'created_at'], name='commands_lately'),
        ),
    ]
