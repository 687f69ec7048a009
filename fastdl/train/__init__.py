"""The fit loop: data, model, loss and optimizer joined by one loop that can be stopped at any moment and resumed exactly.

trainer.py    Trainer: the loop, one step, evaluation
callbacks.py  what may happen beside it: early stopping, best weights, averaged weights, schedules
logs.py       what may be written down beside it: gradient norms, single steps, validation between steps, the gap
state.py      what a checkpoint of a run holds
signals.py    Ctrl-C and SIGTERM end the running step, not the run
pictures.py   confusion matrices (the picture of the history is fastdl._history.plot)
"""

from fastdl.train.callbacks import BestWeights, Callback, EarlyStopping, EMAWeights, LRSchedule
from fastdl.train.errors import Interrupted, TrainingError
from fastdl.train.logs import EvaluateSteps, GeneralizationGap, GradientNorm, StepLog
from fastdl.train.pictures import plot_confusion
from fastdl.train.trainer import Trainer

__all__ = [
    "BestWeights",
    "Callback",
    "EMAWeights",
    "EarlyStopping",
    "EvaluateSteps",
    "GeneralizationGap",
    "GradientNorm",
    "Interrupted",
    "LRSchedule",
    "StepLog",
    "Trainer",
    "TrainingError",
    "plot_confusion",
]
