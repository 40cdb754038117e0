"""Answers over HTTP, part by part: the request, the response, who may read it, who has left, who comes back.

`streamkit.integrations.wsgi` is what is made of them.
"""
