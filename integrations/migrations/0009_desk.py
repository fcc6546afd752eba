import django.db.models.deletion
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('employees', '0002_keeping'),
        ('integrations', '0008_exports'),
        ('telephony', '0011_pulse'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('cause', models.CharField(max_length=300, verbose_name='cause')),
                ('text', models.TextField(verbose_name='text')),
                ('link', models.CharField(max_length=300)),
                ('opened_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='opened')),
                ('told_at', models.DateTimeField(null=True, verbose_name='told')),
                ('closed_at', models.DateTimeField(null=True, verbose_name='closed')),
                ('mended', models.BooleanField(default=False, verbose_name='works again')),
                ('end_told_at', models.DateTimeField(null=True, verbose_name='end told')),
                ('lease_until', models.DateTimeField(null=True)),
            ],
            options={
                'verbose_name': 'notice',
                'verbose_name_plural': 'notices',
            },
        ),
        migrations.CreateModel(
            name='NoticeChoice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('by_email', models.BooleanField(default=True, verbose_name='send me notices by e-mail')),
            ],
        ),
        migrations.CreateModel(
            name='Renewal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uuid', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('made_by', models.EmailField(max_length=254)),
                ('made_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('expires_at', models.DateTimeField()),
                ('tries', models.PositiveSmallIntegerField(default=0)),
                ('used_at', models.DateTimeField(null=True)),
                ('used_from', models.CharField(blank=True, max_length=64)),
                ('revoked_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Replay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('pbx', 'events of PBXs'), ('crm', 'events of CRMs')], max_length=3)),
                ('vendor', models.CharField(max_length=32)),
                ('cause', models.TextField()),
                ('until', models.BigIntegerField()),
                ('reached', models.BigIntegerField(default=0)),
                ('batch', models.JSONField(default=list)),
                ('total', models.PositiveIntegerField()),
                ('done', models.PositiveIntegerField(default=0)),
                ('failed', models.PositiveIntegerField(default=0)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(null=True)),
                ('lease', models.UUIDField(null=True)),
                ('lease_until', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Visit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('member_email', models.EmailField(max_length=254, verbose_name='as')),
                ('by_email', models.EmailField(max_length=254, verbose_name='who')),
                ('address', models.CharField(blank=True, max_length=64, verbose_name='from where')),
                ('reason', models.TextField(max_length=500, verbose_name='why')),
                ('listens', models.BooleanField(default=False, verbose_name='may listen to recordings')),
                ('writes_since', models.DateTimeField(null=True, verbose_name='may change things since')),
                ('write_reason', models.TextField(blank=True, max_length=500, verbose_name='why it must be changed')),
                ('began_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='began')),
                ('until', models.DateTimeField(verbose_name='until')),
                ('ended_at', models.DateTimeField(null=True, verbose_name='ended')),
            ],
            options={
                'verbose_name': 'visit of support',
                'verbose_name_plural': 'visits of support',
                'permissions': [('write_on_visit', 'Can change things while visiting a customer')],
            },
        ),
        migrations.CreateModel(
            name='VisitChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='at')),
                ('path', models.CharField(max_length=300, verbose_name='page')),
                ('status', models.PositiveSmallIntegerField(verbose_name='answer')),
            ],
            options={
                'verbose_name': 'change on a visit',
                'verbose_name_plural': 'changes on visits',
                'ordering': ['at'],
            },
        ),
        migrations.AddField(
            model_name='credential',
            name='stored_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='notice',
            name='company',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='employees.company', verbose_name='company'),
        ),
        migrations.AddField(
            model_name='noticechoice',
            name='membership',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='notice_choice', to='employees.membership'),
        ),
        migrations.AddField(
            model_name='renewal',
            name='credential',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='renewals', to='integrations.credential'),
        ),
        migrations.AddField(
            model_name='replay',
            name='asked_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='visit',
            name='by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='visit',
            name='company',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='visits', to='employees.company', verbose_name='company'),
        ),
        migrations.AddField(
            model_name='visit',
            name='membership',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='employees.membership'),
        ),
        migrations.AddField(
            model_name='visitchange',
            name='visit',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='changes', to='integrations.visit'),
        ),
        migrations.AddIndex(
            model_name='notice',
            index=models.Index(fields=['company', '-opened_at'], name='notice_by_company'),
        ),
        migrations.AddIndex(
            model_name='notice',
            index=models.Index(condition=models.Q(('end_told_at', None), ('mended', True)), fields=['company'], name='notice_end_untold'),
        ),
        migrations.AddConstraint(
            model_name='notice',
            constraint=models.UniqueConstraint(condition=models.Q(('closed_at', None)), fields=('company', 'cause'), name='one_open_notice_per_cause'),
        ),
        migrations.AddIndex(
            model_name='replay',
            index=models.Index(condition=models.Q(('finished_at', None)), fields=['id'], name='replay_open'),
        ),
        migrations.AddIndex(
            model_name='visit',
            index=models.Index(fields=['company', '-began_at'], name='visit_by_company'),
        ),
    ]
