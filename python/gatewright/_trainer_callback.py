"""Routes recorded while transformers' Trainer trains."""

from __future__ import annotations

import os
from typing import Any

from transformers import TrainerCallback

from gatewright.routes import Recorder, TokenIds


class RouteRecorderCallback(TrainerCallback):
    """Trainer(…, callbacks=[RouteRecorderCallback("runs/tuned")]): see gatewright.record_routes for the
    options.

    Steps are the optimiser's; the passes of one step are its batches 0, 1, …; evaluations are "validation". A
    training that goes on from a checkpoint cuts the recording there, and goes on.
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
        self.path = path
        self.options: dict[str, Any] = {
            "every": every,
            "token_ids": token_ids,
            "weights": weights,
            "scores": scores,
        }
        self.recorder: Recorder | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.close()
        done = state.global_step
        about = {"seed": args.seed}
        self.recorder = Recorder(
            model, self.path, about=about, resume_after=done if done else None, **self.options
        )
        self.recorder.counts, self.recorder.step, self.recorder.evaluation = False, done + 1, "validation"
        self.recorder.attach()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.recorder is not None:
            self.recorder.step = state.global_step + 1

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.recorder is not None:
            self.recorder.step = state.global_step  # an evaluation now is one after this many steps

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; the Trainer calls it at the end of training."""
        if self.recorder is not None:
            self.recorder.close()
            self.recorder = None
