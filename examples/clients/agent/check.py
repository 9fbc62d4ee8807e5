"""Runs the bridge without an agent: a user's tone, an agent's tone, a barge-in. `python check.py URL`."""

import asyncio
import math
import struct
import sys

from bridge import AvatarBridge


def tone(seconds, pitch, rate=16000):
    samples = (int(9000 * math.sin(2 * math.pi * pitch * i / rate)) for i in range(int(seconds * rate)))
    return b"".join(struct.pack("<h", sample) for sample in samples)


async def main(url):
    motion, revised = [], []
    show = lambda number, values, is_revision: (revised if is_revision else motion).append((number, values))
    async with AvatarBridge(url, on_motion=show) as avatar:
        await avatar.say(tone(3, 190), 16000)
        for _ in range(60):
            await avatar.hear(tone(0.02, 120), 16000)
            await asyncio.sleep(0.02)
        await avatar.interrupt()
        for _ in range(30):
            await avatar.hear(tone(0.02, 120), 16000)
            await asyncio.sleep(0.02)
    assert motion and [number for number, _ in motion] == list(range(len(motion)))
    assert len(motion[0][1]) == len(avatar.channels) == 55
    print(f"{len(motion)} frames, {len(revised)} revised")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
