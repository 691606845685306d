"""A feed by Django and django-ical, in one file, for gunicorn: `feed:application`. The environment says DATABASE."""

import json
import os
from typing import Any

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **json.loads(os.environ["DATABASE"])}},
    MIDDLEWARE=["django.middleware.gzip.GZipMiddleware", "django.middleware.http.ConditionalGetMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of-a-benchmark",  # noqa: S106  # nothing is signed with it
    USE_TZ=True,
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402  # Django must be set up first
from django.db import models  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django.shortcuts import get_object_or_404  # noqa: E402
from django.urls import path  # noqa: E402
from django_ical.views import ICalFeed  # noqa: E402


class Calendar(models.Model):
    token = models.TextField()

    class Meta:
        app_label, db_table, managed = "feeds", "calendars", False


class Event(models.Model):
    uid = models.TextField(primary_key=True)
    calendar = models.ForeignKey(Calendar, on_delete=models.CASCADE)
    title = models.TextField()
    description = models.TextField()
    location = models.TextField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        app_label, db_table, managed = "feeds", "events", False


class Feed(ICalFeed):
    product_id = "-//django-ical//django-ical//EN"

    def get_object(self, _: HttpRequest, token: str) -> Calendar:
        return get_object_or_404(Calendar, token=token)

    def items(self, calendar: Calendar) -> Any:
        return Event.objects.filter(calendar=calendar).order_by("starts_at")

    def item_guid(self, item: Event) -> str:
        return item.uid

    def item_title(self, item: Event) -> str:
        return item.title

    def item_description(self, item: Event) -> str:
        return item.description

    def item_location(self, item: Event) -> str:
        return item.location

    def item_start_datetime(self, item: Event) -> Any:
        return item.starts_at

    def item_end_datetime(self, item: Event) -> Any:
        return item.ends_at

    def item_created(self, item: Event) -> Any:
        return item.created_at

    def item_updateddate(self, item: Event) -> Any:
        return item.changed_at

    def item_link(self, _: Event) -> str:
        return ""


urlpatterns = [path("<str:token>.ics", Feed())]
application = get_wsgi_application()
