"""An eye beside the models, in the process of the default one: the face's own process loads nothing for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from talkalike.engine.eyes import EyeTurn, Grade, Looked, Sight
from talkalike.engine.process import ProcessEngine
from talkalike.engine.protocol import Sampling
from talkalike.engine.vision_chat import NamingServer, VisionChat, connect_eye
from talkalike.errors import TalkalikeError
from talkalike.pictures.picture import Picture


class EyeInProcess:
    """An `Eye` that is reached through the process that `find` gives, which may be another one after a while."""

    def __init__(self, name: str, sight: Sight, find: Callable[[], Awaitable[ProcessEngine]]) -> None:
        self.name = name
        self.sight = sight
        self._find = find
        self._process: ProcessEngine | None = None
        self._eye: VisionChat | NamingServer | None = None

    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Looked:
        """What it shows. Raises TalkalikeError where the process is not running."""
        return await (await self._connected()).look(picture, grade=grade, ask=ask)

    async def close(self) -> None:
        """Ends the connection; the process goes on."""
        eye, self._eye, self._process = self._eye, None, None
        if eye is not None:
            await eye.close()

    async def _connected(self) -> VisionChat | NamingServer:
        process = await self._find()
        await process.wait_until_running()
        if self._eye is None or process is not self._process:
            await self.close()
            self._eye = await connect_eye(process.address, model=self.name, api_key=process.key)
            self._process = process
        return self._eye


class ConversingEyeInProcess(EyeInProcess):
    """The same for a vision model, which takes a conversation with pictures."""

    async def converse(self, turns: tuple[EyeTurn, ...], sampling: Sampling, *, grade: Grade = Grade.GLANCE) -> Looked:
        """What the assistant says next. Raises TalkalikeError where the process is not running."""
        eye = await self._connected()
        if not isinstance(eye, VisionChat):
            raise TalkalikeError(f"The eye '{self.name}' takes no conversation.")
        return await eye.converse(turns, sampling, grade=grade)
