"""Many prompts at once: one stream each, results in prompt order.

    run = stream_parallel(client, ["Explain queues", "Explain threads"], model="gpt-4o")
    for item in run:
        print(item.prompt, item.error or item.text)

How it hangs together: `run` is what the user reads. Behind it a `batch` takes the prompts (`prompts`) one by one, has
them asked (`workers`: own threads, or an executor; `answer`, or for other processes `errand`) when it is their turn
(`rate_limit`), and collects the items. `checkpoint` keeps the answers in a file, `chunk_feed` merges the chunks, and
`announcer` tells how far it is.
"""

from __future__ import annotations

from streamkit.parallel.item import ParallelItem
from streamkit.parallel.progress import ParallelProgress
from streamkit.parallel.rate_limit import RateLimit
from streamkit.parallel.run import ParallelRun, stream_parallel

__all__ = ["ParallelItem", "ParallelProgress", "ParallelRun", "RateLimit", "stream_parallel"]
