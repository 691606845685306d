"""The asyncpg data layer: SQL beside the function that runs it, rows as frozen records.

Functions take `conn` first and never open a transaction: callers own it. Every statement names the
`account_id` of every table.
"""
