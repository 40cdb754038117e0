"""Transport: the only door to requests and urllib3.

    slot      the socket that another thread may shut down
    http1     HTTP/1 answers, read piece by piece
    pool      connections that report their socket, and the session that pools them
    faults    foreign exceptions into ours
    session   Transport and Answer: one request, blocks of bytes

Importing this package imports none of them: requests takes longer to import than all of streamkit, and a client is the
first that needs it.
"""
