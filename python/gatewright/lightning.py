"""Routes recorded while Lightning trains."""

from __future__ import annotations

import importlib
import os
from typing import Any

from gatewright.routes import Recorder, TokenIds


def _base() -> type:
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return importlib.import_module(name).Callback
        except ImportError:
            continue
    return object


class RouteRecorderCallback(_base()):  # type: ignore[misc]
    """Trainer(callbacks=[RouteRecorderCallback("runs/tuned")]): see gatewright.record_routes for the options.

    Steps are the optimiser's (`trainer.global_step`), the batches of one step 0, 1, …; `token_ids` is a
    function of Lightning's batch here.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every: int = 1,
        token_ids: TokenIds = False,
        *,
        weights: bool = False,
        scores: bool = False,
    ) -> None:
        super().__init__()
        self.path, self.token_ids = path, token_ids
        self.options: dict[str, Any] = {"every": every, "weights": weights, "scores": scores}
        self.recorder: Recorder | None = None
        self._step, self._micro = -1, 0

    def _open(self, module: Any, done: int) -> Recorder:
        if self.recorder is None:
            after = done if done else None
            self.recorder = Recorder(module, self.path, resume_after=after, **self.options)
            self.recorder.attach()
        return self.recorder

    def _begin(self, phase: str, trainer: Any, module: Any, batch: Any, number: int, step: int) -> None:
        ids = self.token_ids(batch) if callable(self.token_ids) else None
        epoch = int(getattr(trainer, "current_epoch", 0))
        self._open(module, trainer.global_step).begin(phase, step, epoch=epoch, batch=number, labels=ids)

    def _end(self) -> None:
        if self.recorder is not None:
            self.recorder.end()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step + 1
        self._micro = self._micro + 1 if step == self._step else 0
        self._step = step
        self._begin("train", trainer, pl_module, batch, self._micro, step)

    def on_train_batch_end(self, trainer: Any, *given: Any, **named: Any) -> None:
        self._end()

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not getattr(trainer, "sanity_checking", False):
            self._begin("validation", trainer, pl_module, batch, batch_idx, trainer.global_step)

    def on_validation_batch_end(self, trainer: Any, *given: Any, **named: Any) -> None:
        self._end()

    def on_test_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._begin("test", trainer, pl_module, batch, batch_idx, trainer.global_step)

    def on_test_batch_end(self, trainer: Any, *given: Any, **named: Any) -> None:
        self._end()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Closes the file; Lightning calls it at the end of fit and of test, after errors too."""
        if self.recorder is not None:
            self.recorder.close()
            self.recorder = None
