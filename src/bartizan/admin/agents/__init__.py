"""What agents can ask, over the Model Context Protocol, at the admin API's door: tools that read, and one that proposes. None applies.

`door.py` is imported with the admin API, the protocol's library (`server.py`) only when the first agent asks: it is larger than all
else here.
"""
