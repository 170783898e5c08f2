"""The CPU benchmark: `python -m triangle_attn_op.bench`. Every opponent in the same run, alternating, each result
checked before it is timed; docs/performance.md says what the rows mean.
"""
