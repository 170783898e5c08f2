"""Parts of examples/rollout.py: pages of a cache, continuous batching, layers whose bits do not depend on the batch."""
