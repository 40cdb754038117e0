"""Many prompts at once: one stream each, results in prompt order.

    run = stream_parallel(client, ["Explain queues", "Explain threads"], model="gpt-4o")
    for item in run:
        print(item.prompt, item.error or item.text)

How it hangs together: `run` is what the user reads. Behind it a `batch` takes the prompts (`prompts`) one by one, has
them asked (`crew`: own threads, or `foreman`: an executor) when it is their turn (`rate_limit`), and collects the
items. `answer` asks one. `checkpoint` keeps the answers in a file, `chunk_feed` merges the chunks, and `announcer`
tells how far it is.

To other processes prompts go as `errand`s, without keys (`credentials`). There each hangs by a `rope` on the run's
`lifeline`, at the address that its `route` says; what passes between them is `sealed`. Dask's own word is heeded, too
(`dask_task`).
"""

from __future__ import annotations

from streamkit.parallel.item import ParallelItem
from streamkit.parallel.progress import ParallelProgress
from streamkit.parallel.rate_limit import RateLimit
from streamkit.parallel.run import ParallelRun, stream_parallel

__all__ = ["ParallelItem", "ParallelProgress", "ParallelRun", "RateLimit", "stream_parallel"]
