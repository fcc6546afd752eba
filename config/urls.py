"""All addresses of the product, but those of PBXs, which `config.asgi` puts in front."""

from django.contrib import admin
from django.urls import include, path
from django.utils.module_loading import autodiscover_modules

from employees.signin import sign_in, sign_out
from employees.sites import portal, support
from integrations import embedded, phone_widget
from integrations.renewal_pages import oauth_return, renew
from integrations.webhooks import receive
from telephony.views import by_link

from . import health

admin.autodiscover()
autodiscover_modules("portal")

urlpatterns = [
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", health.metrics),
    path("hooks/<slug:crm>/<slug:token>/phone/", phone_widget.page),
    path("hooks/<slug:crm>/<slug:token>/phone/account/", phone_widget.account),
    path("hooks/<slug:crm>/<slug:token>/phone/asked/", phone_widget.asked),
    path("hooks/<slug:crm>/<slug:token>/phone/lost/", phone_widget.lost),
    path("hooks/<slug:crm>/", receive),
    path("hooks/<slug:crm>/<path:path>", receive),
    path("i18n/", include("django.conf.urls.i18n")),
    path("recordings/<uuid:uuid>/<slug:proof>.<slug:extension>", by_link, name="recording_link"),
    path("accounts/", include("employees.account_urls")),
    path("login/", sign_in, name="account_login"),
    path("logout/", sign_out, name="account_logout"),
    path("renew/<uuid:uuid>/<slug:proof>/", renew, name="renew"),
    path("oauth/<slug:crm>/", oauth_return),
    path("embed/<slug:token>/", embedded.opened, name="embedding"),
    path("enter/<slug:token>/", embedded.enter, name="embedding_enter"),
    path("api/", include("config.api")),
    path("support/", support.urls),
    path("", portal.urls),
]
