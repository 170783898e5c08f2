"""`python -m triangle_attn_op.npu_bench`: what an owner of an Ascend NPU runs, and publishes."""
