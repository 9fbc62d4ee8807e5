"""Runs the bridge as a processor in a Pipecat pipeline without services: a user's tone, an agent's tone, a barge-in.
`pip install pipecat-ai websockets`, then `python check_pipecat.py URL`."""

import asyncio
import sys

from bridge import AvatarBridge, AvatarProcessor, Interruption
from check import tone
from pipecat.frames.frames import InputAudioRawFrame, TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame
from pipecat.tests.utils import SleepFrame, run_test


async def main(url):
    motion, revised = [], []
    show = lambda number, values, is_revision: (revised if is_revision else motion).append((number, values))
    processor = AvatarProcessor(AvatarBridge(url, on_motion=show))

    def user(packets):
        for _ in range(packets):
            yield InputAudioRawFrame(tone(0.02, 120), 16000, 1)
            yield SleepFrame(0.02)

    agent = [TTSAudioRawFrame(tone(0.1, 190, 24000), 24000, 1) for _ in range(30)]
    sent = [TTSStartedFrame(), *agent, TTSStoppedFrame(), *user(60), Interruption(), *user(30)]
    down, _ = await run_test(processor, frames_to_send=sent)
    counts = {kind: sum(type(frame) is kind for frame in down) for kind in (InputAudioRawFrame, TTSAudioRawFrame, Interruption)}
    assert list(counts.values()) == [90, 30, 1], f"every frame is passed on: {counts}"
    assert motion and [number for number, _ in motion] == list(range(len(motion)))
    print(f"{len(motion)} frames, {len(revised)} revised")


asyncio.run(main(sys.argv[1]))
