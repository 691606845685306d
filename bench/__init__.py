"""Measures the service beside the limits of its own tools and beside other programs that serve calendars."""
