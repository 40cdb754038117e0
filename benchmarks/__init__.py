"""Benchmarks of streamkit: `python -m benchmarks` prints them as one table.

    __main__     the command and its table
    row          one line of the table
    bench        the run: server, processes that measure, progress
    server       the loopback provider, a process of its own
    worker       the process that measures
    clients      streamkit and its peers, each used as its own documentation shows
    catalogue    the object whose partials are measured
    process      what a process says of itself: CPU, memory, threads, files
    per_chunk, startup, latency, parallel, cancel, large_event, objects, leak
                 the families of figures

Every figure is taken in processes of their own on one machine and one loopback server, in rounds that alternate between
streamkit and its peer. A ratio is the median of the rounds' ratios. Linux only: memory and files come from /proc.
"""
