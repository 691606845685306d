"""A calendar file → activities: octets in, values out, with no clock and no database.

contentlines   octets → components, each with its line in the file
values         dates, durations, rules
vtimezones     a VTIMEZONE → a clock
zones          TZID → a clock and its IANA name
schedules      when a component takes place, and what repeats it
recurrence     what an activity keeps of a series
activities     components → activities, and why a component is refused
"""
