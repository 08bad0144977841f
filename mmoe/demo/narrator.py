"""What the demo tells its user while it works: one line an event, with the seconds since the start."""

import time


class Narrator:
    def __init__(self) -> None:
        self.started = time.monotonic()
        self.last = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def say(self, text: str) -> None:
        print(f"[{self.seconds:5.0f} s] {text}", flush=True)  # noqa: T201

    def chapter(self, text: str) -> None:
        print(f"\n[{self.seconds:5.0f} s] == {text}", flush=True)  # noqa: T201

    def progress(self, text: str) -> None:
        """Say it if it differs from the last progress line."""
        if text != self.last:
            self.last = text
            self.say("   " + text)
