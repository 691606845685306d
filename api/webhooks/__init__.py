"""Webhooks: set up by integrators, and delivered through a table of the database."""
