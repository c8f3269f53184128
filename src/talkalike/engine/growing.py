"""The message of a burst that is being written."""

from __future__ import annotations

from talkalike.engine.protocol import Finish, Piece


class GrowingMessage:
    """The message being written. `number` counts the burst's messages that have text; a message shows once it has."""

    def __init__(self, *, number: int) -> None:
        self.number = number
        self.shown = False
        self._ids: list[int] = []
        self._logprobs: list[float] = []

    def push(self, text: str, token: int | None, logprob: float | None) -> Piece | None:
        """The characters that are whole now, with the tokens they came from, as far as these are known."""
        if token is not None:
            self._ids.append(token)
        if logprob is not None:
            self._logprobs.append(logprob)
        if not text:
            return None
        logprobs = tuple(self._logprobs) if len(self._logprobs) == len(self._ids) else ()
        piece = Piece(text=text, message=self.number, token_ids=tuple(self._ids), logprobs=logprobs)
        self.shown = True
        self._ids, self._logprobs = [], []
        return piece

    def end(self, finish: Finish) -> Piece:
        """The reply's last piece. Bytes of a character that never became whole are dropped: they show nothing."""
        return Piece(text="", message=self.number if self.shown else max(0, self.number - 1), finish=finish)
