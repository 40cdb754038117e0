"""Answers kept in a database: written, leased, followed. Knows of a `Store`, and of no client of a database.

`streamkit.integrations.redis` is what is made of it.
"""
