"""The pipes of a core, as traces number them."""

PIPES = ("S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX")
