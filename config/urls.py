"""All addresses of the product, but those of PBXs, which `config.asgi` puts in front."""

from django.urls import include, path

from integrations.webhooks import receive

from . import health

urlpatterns = [
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", health.metrics),
    path("hooks/<slug:crm>/", receive),
    path("hooks/<slug:crm>/<path:path>", receive),
    path("i18n/", include("django.conf.urls.i18n")),
]
