"""Settings, all from the environment (`.env.example` explains each variable)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from . import logs

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")


def required(name: str, how: str) -> str:
    value = env.str(name, default="")
    if not value or value.startswith("change-me"):
        raise ImproperlyConfigured(f"{name} is not set. {how} (.env.example explains it.)")
    return value


DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = required("SECRET_KEY", "Run `make .env`, or set a long random text of your own.")
# The first key encrypts, all of them decrypt: put a new key in front to rotate.
FIELD_ENCRYPTION_KEY = required("FIELD_ENCRYPTION_KEY", "Run `make .env`, or set a Fernet key of your own.").split(",")

PORT = env.int("PORT", default=8000)
PUBLIC_URL = env.str("PUBLIC_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "var")))
ALLOW_PRIVATE_HOSTS = env.bool("ALLOW_PRIVATE_HOSTS", default=False)
_public = environ.urlparse(PUBLIC_URL)
SECURE = _public.scheme == "https"
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[_public.hostname or "127.0.0.1", "127.0.0.1", "localhost", "[::1]"])

# --- Apps -------------------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "django.contrib.admin.apps.SimpleAdminConfig",  # `config.urls` looks for what is in it
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "encrypted_model_fields",
    "config.apps.ConfigConfig",  # its `rundramatiq` goes before the library's
    "django_dramatiq",
    "employees.apps.EmployeesConfig",
    "clients.apps.ClientsConfig",
    "telephony.apps.TelephonyConfig",
    "integrations.apps.IntegrationsConfig",
]
MIDDLEWARE = [
    "config.middleware.RequestLog",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "integrations.embedded.EmbeddedAddress",  # before all that read or set cookies
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "employees.middleware.CurrentCompany",
    "employees.middleware.LastSeen",
    "django.contrib.messages.middleware.MessageMiddleware",
    "integrations.visits.SupportVisits",
    "integrations.embedded.EmbeddedVisitor",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Database, cache, broker ------------------------------------------------------------------------------------------

DATABASES: dict[str, Any] = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{DATA_DIR}/callbridge.sqlite3")}
_database = DATABASES["default"]
SQLITE = _database["ENGINE"].endswith("sqlite3")
if SQLITE:
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-32000; PRAGMA temp_store=MEMORY;"
        ),
    }
    _database["CONN_MAX_AGE"] = None  # opening the file anew for each message costs more than the message
    _database["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
else:
    _database["OPTIONS"] = {
        # A PBX waits about five seconds: without a database it is told 503 before that, and may come again.
        "pool": {"min_size": 1, "max_size": env.int("DATABASE_POOL", default=20), "timeout": 4},
        # The server plans a statement once for each connection, not each time.
        "server_side_binding": True,
        "prepare_threshold": 2,
    }
_database["ATOMIC_REQUESTS"] = False

CACHES = {"default": env.cache_url("CACHE_URL", default="locmemcache://callbridge")}

# `memory://`: worker threads in the server's own process.
BROKER_URL = env.str("BROKER_URL", default="memory://")
WORKER_THREADS = env.int("WORKER_THREADS", default=48)  # they mostly wait for CRMs
# How long a worker may be at work on one batch for a CRM; longer than any request to one may take. A batch whose worker
# died is taken up again after that.
SYNC_LEASE_SECONDS = env.int("SYNC_LEASE_SECONDS", default=75)
# Milliseconds after which Dramatiq's idle consumer looks whether a message is finished or a delayed one is due.
os.environ.setdefault("dramatiq_worker_timeout", "100")
DRAMATIQ_BROKER: dict[str, Any] = {
    "BROKER": {
        "memory": "config.broker.MemoryBroker",
        "redis": "config.redis_broker.PromptRedisBroker",
        "rediss": "config.redis_broker.PromptRedisBroker",
        "amqp": "dramatiq.brokers.rabbitmq.RabbitmqBroker",
        "amqps": "dramatiq.brokers.rabbitmq.RabbitmqBroker",
    }[BROKER_URL.split(":")[0]],
    "OPTIONS": {} if BROKER_URL.startswith("memory:") else {"url": BROKER_URL},
    # No middleware is needed to be correct: the database knows what is left to do, and the sweep finds it.
    "MIDDLEWARE": [
        "dramatiq.middleware.TimeLimit",
        "dramatiq.middleware.ShutdownNotifications",
        "config.broker.Ledger",
        "config.broker.DatabaseConnections",
        "config.broker.LogContext",
    ],
}

# --- Files ------------------------------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
MEDIA_ROOT = DATA_DIR / "recordings"
_bucket = env.str("S3_BUCKET", default="")
STORAGES: dict[str, Any] = {
    "default": {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": _bucket,
            "endpoint_url": env.str("S3_ENDPOINT", default="") or None,
            "access_key": env.str("S3_ACCESS_KEY", default="") or None,
            "secret_key": env.str("S3_SECRET_KEY", default="") or None,
        },
    }
    if _bucket
    else {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# A vendor's page of ours has its script in the vendor's folder.
STATICFILES_DIRS = [(folder.parent.name, folder) for folder in sorted(BASE_DIR.glob("crm_adapters/*/static"))]
WHITENOISE_USE_FINDERS = True

# --- People -----------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "employees.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
# Whether strangers may sign up; who is invited always may.
SIGN_UP = env.bool("SIGN_UP", default=True)
ACCOUNT_ADAPTER = "employees.accounts.AccountAdapter"
ACCOUNT_FORMS = {"login": "employees.accounts.SignInForm", "signup": "employees.accounts.SignUpForm"}
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_REDIRECT_URL = "/login/"
ACCOUNT_REAUTHENTICATION_REQUIRED = True
# The first is of one address and e-mail (`employees.accounts`), the second of one address.
ACCOUNT_RATE_LIMITS = {"login_failed": "5/15m/key,50/15m/ip", "login": "100/m/ip"}
MFA_ADAPTER = "employees.accounts.MfaAdapter"
MFA_FORMS = {"add_webauthn": "employees.accounts.AddPasskeyForm"}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Callbridge"
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not SECURE
# Sign-in by accounts that people have elsewhere: names of allauth's providers, and what each of them knows us by.
SOCIAL_PROVIDERS = env.list("SOCIAL_PROVIDERS", default=[])
if SOCIAL_PROVIDERS:
    INSTALLED_APPS += [
        "allauth.socialaccount",
        *(f"allauth.socialaccount.providers.{name}" for name in SOCIAL_PROVIDERS),
    ]
    _how = "SOCIAL_PROVIDERS names this provider: register the installation there and set what it was given."
    SOCIALACCOUNT_PROVIDERS = {
        name: {
            "APP": {
                "client_id": required(f"{name.upper()}_CLIENT_ID", _how),
                "secret": required(f"{name.upper()}_CLIENT_SECRET", _how),
            }
        }
        for name in SOCIAL_PROVIDERS
    }
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
# Without a mail server each e-mail is a file.
if env.str("EMAIL_URL", default=""):
    globals().update(env.email_url("EMAIL_URL"))
else:
    EMAIL_BACKEND, EMAIL_FILE_PATH = "django.core.mail.backends.filebased.EmailBackend", DATA_DIR / "mail"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default=f"Callbridge <callbridge@{_public.hostname or 'localhost'}>")
# The bot by which people are told of troubles; without a token there is none.
TELEGRAM_BOT_TOKEN = env.str("TELEGRAM_BOT_TOKEN", default="")
TELEGRAM_API_URL = env.str("TELEGRAM_API_URL", default="https://api.telegram.org").rstrip("/")
LANGUAGES = [("ru", _("Russian")), ("en", _("English"))]
LANGUAGE_CODE = env.str("LANGUAGE_CODE", default="ru")
# A vendor's words lie in its own folder.
LOCALE_PATHS = [
    BASE_DIR / "locale",
    *sorted(BASE_DIR.glob("telephony/providers/*/locale")),
    *sorted(BASE_DIR.glob("crm_adapters/*/locale")),
]
TIME_ZONE = "UTC"
USE_TZ = True

# --- Security ---------------------------------------------------------------------------------------------------------

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_NAME = "callbridge_session"
CSRF_COOKIE_NAME = "callbridge_csrf"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 14
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
SECURE_SSL_REDIRECT = SECURE and env.bool("SSL_REDIRECT", default=True)
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_PROXY", default=False) else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# The largest body of any request: events of PBXs and CRMs, forms of pages. The entrance keeps to it before Django.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
# Proxies whose X-Forwarded-For names the client: addresses and networks.
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=["127.0.0.1"])

# --- Watching it ------------------------------------------------------------------------------------------------------

# Who may read /metrics from elsewhere than this machine: a token for `Authorization: Bearer …`.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
LOGGING_CONFIG = None
LOGGING = logs.configure(level=env.str("LOG_LEVEL", default="INFO"), json=env.bool("LOG_JSON", default=not DEBUG))

UNFOLD = {
    "SITE_TITLE": "Callbridge",
    "SITE_HEADER": "Callbridge",
    "SITE_SYMBOL": "phone_in_talk",
    "SHOW_LANGUAGES": True,
    "BORDER_RADIUS": "8px",
    "SIDEBAR": {"show_search": False, "show_all_applications": False},
}
# --- The API ----------------------------------------------------------------------------------------------------------

# Requests a minute that one key may make.
API_RATE = env.int("API_RATE", default=600)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["employees.api.access.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["employees.api.access.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["employees.api.access.KeyThrottle"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "employees.api.schema.Described",
    "EXCEPTION_HANDLER": "employees.api.problems.handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "NUM_PROXIES": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Callbridge API",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "DESCRIPTION": "Calls of any PBX in any CRM, by program. The guide is in docs/api.md of the product.",
    "SERVERS": [{"url": PUBLIC_URL}],
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "KeptDaysEnum": "employees.models.KEPT_DAYS",
        "CallDirectionEnum": "telephony.models.DIRECTIONS",
        "CallOutcomeEnum": "telephony.models.OUTCOMES",
        "CallStateEnum": "telephony.models.STATES",
        "CommandStateEnum": "telephony.models.Command.State",
        "ConnectionCapabilityEnum": "telephony.api.connections.CAPABILITIES",
        "ImportStateEnum": "telephony.models.HistoryRun.State",
        "RecordingStateEnum": "telephony.models.Recording.State",
        "TestCallKindEnum": "integrations.api.trials.KINDS",
    },
}
