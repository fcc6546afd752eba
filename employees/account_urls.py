"""Addresses of people's own pages; what is not named here is allauth's."""

from django.urls import include, path
from django.views.generic import RedirectView

from . import account_pages

urlpatterns = [
    path("login/", RedirectView.as_view(pattern_name="account_login", query_string=True)),
    path("company/", account_pages.company, name="account_company"),
    path("invitation/<str:token>/", account_pages.invitation, name="account_invitation"),
    path("invitation/<str:token>/new/", account_pages.InvitedSignUp.as_view(), name="account_invited"),
    path("sessions/", account_pages.Sessions.as_view(), name="usersessions_list"),
    path("", include("allauth.urls")),
]
