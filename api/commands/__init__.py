"""Operators' commands: `calendar-feeds import`, `account`, `key`, `demo` … `api/cli.py` is the way in."""
