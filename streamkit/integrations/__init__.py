"""Bridges to other packages, each of them an extra; a module here imports its package when it is used."""
