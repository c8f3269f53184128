"""Discord's limits for each route: a number of requests in a window, told in headers, and 429 beyond it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from aiohttp import web

_MESSAGE = re.compile(r"/channels/(\d+)/messages(/\d+)?$")
_REACTION = re.compile(r"/channels/(\d+)/messages/\d+/reactions/.*$")
_TYPING = re.compile(r"/channels/(\d+)/typing$")
_MANY = 4096  # buckets remembered; idle ones are forgotten beyond that


@dataclass(slots=True)
class Bucket:
    """A window that starts with its first request. Times are of the monotonic clock, in seconds."""

    name: str
    limit: int
    window: float
    used: int = 0
    ends: float = 0.0

    def take(self) -> bool:
        now = time.monotonic()
        if now >= self.ends:
            self.used, self.ends = 0, now + self.window
        if self.used >= self.limit:
            return False
        self.used += 1
        return True

    def retry_after(self) -> float:
        return round(max(0.0, self.ends - time.monotonic()), 3)

    def headers(self) -> dict[str, str]:
        left = self.retry_after()
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, self.limit - self.used)),
            "X-RateLimit-Reset": f"{time.time() + left:.3f}",
            "X-RateLimit-Reset-After": f"{left:.3f}",
            "X-RateLimit-Bucket": self.name,
        }


class RateLimits:
    """Buckets by bot, route and channel. Routes not named here have no limit of their own."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str, str], Bucket] = {}

    def of(self, request: web.Request, path: str, message_limit: tuple[int, float] | None) -> Bucket | None:
        kind = self._kind(request.method, path)
        if kind is None or message_limit is None:
            return None
        name, channel_id, limit, window = (*kind, *message_limit)
        if name == "reaction":
            limit, window = 1, min(0.25, window)
        key = (request.headers.get("Authorization", ""), name, channel_id)
        bucket = self._buckets.get(key)
        if bucket is None or bucket.limit != limit or bucket.window != window:
            self._forget_idle()
            bucket = self._buckets[key] = Bucket(f"local-{name}", limit, window)
        return bucket

    def _forget_idle(self) -> None:
        if len(self._buckets) > _MANY:
            now = time.monotonic()
            self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket.ends > now}

    @staticmethod
    def _kind(method: str, path: str) -> tuple[str, str] | None:
        if (found := _MESSAGE.match(path)) is not None and method in ("POST", "PATCH"):
            return f"{method.lower()}-message", found[1]
        if (found := _TYPING.match(path)) is not None and method == "POST":
            return "typing", found[1]
        if (found := _REACTION.match(path)) is not None and method in ("PUT", "DELETE"):
            return "reaction", found[1]
        return None
