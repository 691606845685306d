"""Users, calendars, and who may see which."""
