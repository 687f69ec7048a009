"""How a run ends before its time."""


class TrainingError(RuntimeError):
    """Training cannot go on: the loss or the weights are not finite."""


class Interrupted(SystemExit):
    """Ctrl-C or SIGTERM: the state was saved. Not caught, it ends the program with exit code 130 and without a traceback."""

    def __init__(self, message: str):
        super().__init__(130)
        self.message = message

    def __str__(self):
        return self.message
