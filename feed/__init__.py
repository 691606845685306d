"""The subscription route and everything iCalendar. `routes.py` tells the life of a poll, top to bottom."""
