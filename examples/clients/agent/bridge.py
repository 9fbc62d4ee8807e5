"""Connects a voice agent to its avatar: what the user says is listened to, what the agent says is spoken, and when the user
barges in the mouth closes.

`AvatarBridge` knows nothing of any framework: it takes PCM of 16 bits. `AvatarProcessor` puts it into a Pipecat pipeline,
behind the speech synthesis, where it connects when the pipeline starts:

    pipeline = Pipeline([transport.input(), stt, llm, tts, AvatarProcessor(AvatarBridge(on_motion=show)), transport.output()])

Any other framework has the same three callbacks: of LiveKit's agents, `hear` belongs into the loop over the user's
`rtc.AudioStream`, `say` beside `AudioSource.capture_frame`, and `interrupt` where `session.interrupt()` is called.
"""

import asyncio
import json
import logging
import struct

import websockets

log = logging.getLogger(__name__)


class AvatarBridge:
    """One session of `unils serve`."""

    def __init__(self, url="ws://127.0.0.1:8730/live", token=None, on_motion=None):
        self.url, self.token, self.on_motion = url, token, on_motion
        self.socket = self.reader = None

    async def open(self):
        self.socket = await websockets.connect(self.url)
        await self.tell(type="start", version=1, token=self.token, space="arkit55")
        started = json.loads(await self.socket.recv())
        if started["type"] == "error":
            raise RuntimeError(started["what"])
        self.channels = started["channels"]
        self.reader = asyncio.create_task(self.read())
        # The agent is silent until it says something: listening must not wait for it.
        await self.tell(type="flush", voice="own")

    async def close(self):
        if self.socket:
            await self.socket.close()
        if self.reader:
            self.reader.cancel()

    async def __aenter__(self):
        await self.open()
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def tell(self, **message):
        await self.socket.send(json.dumps(message))

    async def audio(self, partner, pcm16, rate):
        await self.socket.send(struct.pack("<BBBBIQ", 0x55, 1, 1, 1 if partner else 0, rate, 0) + pcm16)

    async def hear(self, pcm16, rate):
        """What the user says, as it comes."""
        await self.audio(True, pcm16, rate)

    async def say(self, pcm16, rate):
        """What the agent says: as fast as it is synthesised."""
        await self.audio(False, pcm16, rate)

    async def rest(self):
        """The agent has said what it had to say."""
        await self.tell(type="flush", voice="own")

    async def interrupt(self):
        """The user barges in: what was not said yet will not be."""
        await self.tell(type="interrupt")

    async def read(self):
        async for message in self.socket:
            if isinstance(message, str):
                told = json.loads(message)
                if told["type"] == "error":
                    log.warning("the avatar's server: %s (%s)", told["what"], told.get("hint") or told["code"])
            elif self.on_motion:
                _, _, _, flags, frames, channels, start = struct.unpack_from("<BBBBHHQ", message)
                offset = 16 + (frames + 3) // 4 * 4
                for frame in range(frames):
                    values = struct.unpack_from(f"<{channels}f", message, offset + frame * channels * 4)
                    self.on_motion(start + frame, values, bool(flags & 2))


try:
    from pipecat.frames import frames
    from pipecat.processors.frame_processor import FrameProcessor
except ImportError:
    pass
else:
    # Pipecat has renamed this frame; either name says that the user barged in.
    Interruption = getattr(frames, "InterruptionFrame", None) or frames.StartInterruptionFrame

    class AvatarProcessor(FrameProcessor):
        """Passes every frame on and tells the bridge what it means for the face."""

        def __init__(self, bridge, **options):
            super().__init__(**options)
            self.bridge = bridge

        async def process_frame(self, frame, direction):
            await super().process_frame(frame, direction)
            if isinstance(frame, frames.StartFrame):
                await self.bridge.open()
            await self.push_frame(frame, direction)
            try:
                await self.show(frame)
            except websockets.ConnectionClosed:
                # An agent without its face goes on talking; the server has said why it closed.
                log.debug("the avatar is gone")

        async def show(self, frame):
            if isinstance(frame, frames.InputAudioRawFrame):
                await self.bridge.hear(frame.audio, frame.sample_rate)
            elif isinstance(frame, frames.TTSAudioRawFrame):
                await self.bridge.say(frame.audio, frame.sample_rate)
            elif isinstance(frame, frames.TTSStoppedFrame):
                await self.bridge.rest()
            elif isinstance(frame, Interruption):
                await self.bridge.interrupt()

        async def cleanup(self):
            await super().cleanup()
            await self.bridge.close()
