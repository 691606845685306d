"""Alembic's environment (`env.py`) and the migrations (`versions/`), each written as plain SQL, forward-only."""
