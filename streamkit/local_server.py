"""The program of the embedded model server; `streamkit.local` runs it in a process of its own, nothing imports it.

It is run by its path with only the standard library at hand, so it imports nothing of streamkit. On stdin comes one
line of JSON (`model`, `template`, `threads`, `key`, `path`) and then nothing: the end of stdin means that the parent is
gone, however it went, and ends the program. On stdout goes one line of JSON, `{"url": …}`, once requests are served.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

__all__ = ["NAME", "main"]

NAME = "smollm2-135m"
"""The name that the server gives its model."""

CONTEXT = 8192
"""Tokens of prompts and answers together, in all slots; what the model was trained for. Costs 180 MB."""

ANSWER = 1024
"""Tokens of an answer where the request does not say."""

SLOTS = 4
"""Answers decoded side by side; a further request waits for a slot."""


def main() -> None:
    """Serve until stdin ends."""
    settings = json.loads(sys.stdin.buffer.readline())
    answer = os.dup(1)
    os.dup2(2, 1)  # native code may print: that must not be taken for the answer
    sys.path[:] = settings["path"]
    import xllamacpp

    server = xllamacpp.Server(_parameters(xllamacpp, settings))
    os.write(answer, json.dumps({"url": server.listening_address}).encode() + b"\n")
    os.close(answer)
    sys.stdin.buffer.read()
    os._exit(0)  # an ordinary exit would wait for answers still being generated


def _parameters(xllamacpp: Any, settings: dict[str, Any]) -> Any:
    p = xllamacpp.CommonParams()
    p.model.path = settings["model"]
    p.model_alias = {NAME}
    p.chat_template = settings["template"]
    p.use_jinja = True
    p.hostnames = ["127.0.0.1"]
    p.port = 0  # any free one
    p.api_keys = [settings["key"]]
    p.ui = False
    p.n_ctx = CONTEXT
    p.n_parallel = SLOTS
    p.kv_unified = True
    p.n_predict = ANSWER
    p.sampling.temp, p.sampling.top_p = 0.2, 0.9  # as the model's authors advise
    p.sampling.penalty_repeat = 1.03  # 1.0: it is apt to say one sentence for ever; 1.05: it no longer calls tools
    p.cache_ram_mib = 0  # else prompts of the past may take gigabytes
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = settings["threads"]
    p.verbosity = 0
    return p


if __name__ == "__main__":
    main()
