"""The parts of pretrain_llama.py, in the order in which it uses them: arguments, data, launch, model, trainer,
checkpoint, compare, report."""
