"""The training loop: global batches by accumulation and DDP, validation, checkpoints, a progress bar and
metrics.jsonl."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from . import checkpoint, context, model, report
from .arguments import Config
from .data import Corpus
from .launch import Place

_UNTOUCHED = (
    "the run stops, and its checkpoints stay as they were before this; a lower --lr, a longer --lr-warmup-iters or a "
    "smaller --clip-grad may help, with --fresh"
)


@dataclasses.dataclass
class Outcome:
    """What a finished run has to say."""

    validation_loss: float
    unigram_entropy: float
    parameters: int
    seconds: float  # of training steps done by this process, validations and checkpoints left out
    tokens: int  # trained in those seconds, over all processes

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


class Trainer:
    """One run. `train` starts it, or goes on from the newest checkpoint in `config.output`."""

    def __init__(self, config: Config, place: Place, corpus: Corpus) -> None:
        self.config, self.place, self.corpus = config, place, corpus
        self.checkpoints = config.output / "checkpoints"
        self.metrics = report.Metrics(config.output / "metrics.jsonl")
        self.share = context.Share(config, place)
        self.identity = {**config.identity(), "corpus": corpus.fingerprint()}
        self.model = model.build(config, place.device)
        self.optimizer = model.optimizer(config, self.model)
        torch.manual_seed(config.seed + 1 + place.rank)  # dropout differs between processes, weights do not
        # Its scale is part of the state, as is what decides when it grows. Without fp16 it does nothing.
        self.scaler = torch.amp.GradScaler(place.device.type, init_scale=config.initial_loss_scale, enabled=config.fp16)
        self.replica: torch.nn.Module = self.model
        if place.world_size > 1 and config.ddp_impl == "torch":
            self.replica = DistributedDataParallel(
                self.model, device_ids=None if place.device.type == "cpu" else [place.device]
            )

    def train(self) -> Outcome:
        """Runs to the last step; ValueError where the output folder holds another run, where the processes were given
        different arguments, and where the loss stops being a number: the last checkpoint is from before that."""
        try:
            return self._train(self._resume())
        finally:
            self.replica = self.model  # launch.stop says why

    def _train(self, done: int) -> Outcome:
        outcome = Outcome(
            float("nan"), self.corpus.unigram_entropy(), sum(p.numel() for p in self.model.parameters()), 0.0, 0
        )
        outcome.validation_loss = next(
            (e["validation_loss"] for e in reversed(self.metrics.entries) if "validation_loss" in e), float("nan")
        )
        last = self.config.train_iters
        with self._progress(done) as bar:
            for iteration in range(done + 1, last + 1):
                started = time.perf_counter()
                entry = self._step(iteration)
                seconds = time.perf_counter() - started
                outcome.seconds += seconds
                outcome.tokens += self.config.global_batch_size * self.config.seq_length
                entry["tokens_per_second"] = round(self.config.global_batch_size * self.config.seq_length / seconds, 1)
                validated = iteration % self.config.eval_interval == 0 or iteration == last
                if validated:
                    outcome.validation_loss = entry["validation_loss"] = self._validate()
                if self.place.first:
                    self.metrics.add(entry)
                    self._show(bar, entry, validated)
                if iteration % self.config.save_interval == 0 or iteration == last:
                    self._save(iteration)
                    if self.place.first:
                        report.loss_curve(self.metrics.entries, outcome.unigram_entropy, self.config)
        return outcome

    def _save(self, iteration: int) -> None:
        extra = {"scaler": self.scaler.state_dict()}
        problem = None
        try:
            checkpoint.save(self.checkpoints, self.place, self.identity, iteration, self.model, self.optimizer, extra)
        except OSError as error:
            problem = error
        self.place.agree(problem)

    def _check_agreement(self) -> None:
        """ValueError that lists the arguments in which a process differs from the first one."""
        mine = {**self.identity, "world_size": self.place.world_size}
        first, *others = self.place.from_all(mine)
        for rank, other in enumerate(others, 1):
            differing = [
                f"--{name.replace('_', '-')} is {value} in process 0, {other.get(name)} in process {rank}"
                for name, value in first.items()
                if other.get(name) != value
            ]
            if differing:
                raise ValueError(f"expected the same arguments in every process: {'; '.join(differing)}")

    def _resume(self) -> int:
        """The number of steps done already, with their state put back."""
        self._check_agreement()
        content = checkpoint.load(self.checkpoints, self.place)
        if content is None:
            self.metrics.keep_until(0, write=self.place.first)
            return 0
        checkpoint.check_identity(content, self.identity, self.checkpoints)
        done = checkpoint.restore(content, self.place, self.model, self.optimizer)
        if content.get("scaler"):
            self.scaler.load_state_dict(content["scaler"])
        self.metrics.keep_until(done, write=self.place.first)
        if self.place.first:
            print(f"going on after step {done} of {self.config.train_iters}, from {self.checkpoints}", flush=True)
        return done

    def _step(self, iteration: int) -> dict[str, Any]:
        """One optimizer step on the global batch: this process's share in micro batches, gradients summed between
        processes once."""
        config, place = self.config, self.place
        for group in self.optimizer.param_groups:
            group["lr"] = model.learning_rate(config, iteration)
        batch = self.corpus.train_batch(config.seed, iteration, config.global_batch_size, config.seq_length)
        mine = self.share.of(batch).to(place.device).split(config.micro_batch_size)
        self.replica.train()
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for index, tokens in enumerate(mine):
            with self._without_sync(index < len(mine) - 1):
                loss = self.share.loss(self.replica, tokens) / len(mine)
                self.scaler.scale(loss).backward()
            total += loss.item()
        if place.world_size > 1 and config.ddp_impl == "local":
            self._sum_gradients()
        self.scaler.unscale_(self.optimizer)
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_grad))
        loss_mean = place.sum(total)[0] / place.world_size
        skipped = config.fp16 and not math.isfinite(norm)  # the scale was too large: it is halved, the step left out
        if not math.isfinite(loss_mean) or not (math.isfinite(norm) or skipped):
            raise ValueError(
                f"step {iteration}: the loss is {loss_mean}, the norm of its gradient {norm}: {_UNTOUCHED}"
            )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        entry = {"iteration": iteration, "loss": loss_mean, "lr": self.optimizer.param_groups[0]["lr"]}
        if config.fp16:
            entry["loss_scale"] = self.scaler.get_scale()
        return {**entry, "grad_norm": None if skipped else norm}

    def _sum_gradients(self) -> None:
        """The mean of every gradient over the processes, by one all-reduce of one buffer."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        buffer = torch.cat([gradient.reshape(-1) for gradient in gradients]) / self.place.world_size
        dist.all_reduce(buffer)
        parts = buffer.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts):
            gradient.copy_(part.view_as(gradient))

    def _without_sync(self, wanted: bool) -> contextlib.AbstractContextManager[Any]:
        if wanted and isinstance(self.replica, DistributedDataParallel):
            return self.replica.no_sync()
        return contextlib.nullcontext()

    @torch.no_grad()
    def _validate(self) -> float:
        """Mean nats a token over `eval_iters` global batches of held-out text, the same ones every time."""
        config, place = self.config, self.place
        self.model.eval()
        total = count = 0.0
        for index in range(config.eval_iters):
            batch = self.corpus.held_out_batch(index, config.eval_iters, config.global_batch_size, config.seq_length)
            for tokens in self.share.of(batch).to(place.device).split(config.micro_batch_size):
                total += float(self.share.loss(self.model, tokens)) * len(tokens)
                count += len(tokens)
        total, count = place.sum(total, count)
        if not math.isfinite(total):
            raise ValueError(f"the validation loss is {total / count}: {_UNTOUCHED}")
        return total / count

    def _progress(self, done: int) -> tqdm[Any]:
        # The bar is for a terminal; elsewhere lines are printed, which a log file can keep.
        hidden = not self.place.first or not sys.stderr.isatty()
        return tqdm(
            total=self.config.train_iters,
            initial=done,
            desc="training",
            unit="step",
            disable=hidden,
            dynamic_ncols=True,
        )

    def _show(self, bar: tqdm[Any], entry: dict[str, Any], validated: bool) -> None:
        bar.set_postfix_str(f"loss {entry['loss']:.3f}, {entry['tokens_per_second']:,.0f} tokens/s", refresh=False)
        bar.update()
        step = f"step {entry['iteration']:>{len(str(self.config.train_iters))}}/{self.config.train_iters}"
        if validated:
            bar.write(f"{step}  loss {entry['loss']:.4f}  validation {entry['validation_loss']:.4f}", file=sys.stdout)
        elif bar.disable and entry["iteration"] % self.config.log_interval == 0:
            print(f"{step}  loss {entry['loss']:.4f}  {entry['tokens_per_second']:,.0f} tokens/s")
        sys.stdout.flush()


def set_aside_if_finished(config: Config) -> Path | None:
    """Makes way for a new run: a finished one in `config.output` (any, with --fresh) is renamed, never overwritten.
    Returns its new name."""
    finished = (config.output / "summary.json").exists()
    if not config.output.exists() or not (finished or config.fresh):
        return None
    number = 1
    while (aside := config.output.with_name(f"{config.output.name}-{number}")).exists():
        number += 1
    os.rename(config.output, aside)
    return aside
