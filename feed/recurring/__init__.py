"""A series → what a window shows of it: a rule that all calendar programs read alike, or each occurrence by itself.

kept     the JSON of a series → values
rules    a recurrence rule → its starts, and whether programs agree on it
series   the occurrences of a series, and the series as a rule
"""
