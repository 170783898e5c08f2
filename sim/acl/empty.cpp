// libge_runner.so, libgraph.so, libacl_tdt_channel.so: torch_npu names them as dependencies and calls nothing of them.
