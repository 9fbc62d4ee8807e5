"""Lets an avatar listen to a recording in real time and prints how far its mouth and head move.

    unils serve &
    pip install websockets
    python listen.py talk.wav [ws://127.0.0.1:8730/live]

The recording is a WAV of 16-bit PCM; its first channel is the partner's voice, a second one the avatar's own.
"""

import asyncio
import json
import struct
import sys
import wave

import websockets

PACKET_S = 0.02


def audio_frame(partner, rate, pcm16):
    """A binary frame of the protocol: header of 16 bytes, then samples."""
    return struct.pack("<BBBBIQ", 0x55, 1, 1, 1 if partner else 0, rate, 0) + pcm16


def motion_frames(data):
    """(number, channels' values) of the first face for each frame; float32."""
    _, _, kind, flags, frames, channels, start = struct.unpack_from("<BBBBHHQ", data)
    assert kind == 2 and not flags & 1
    offset = 16 + (frames + 3) // 4 * 4
    for frame in range(frames):
        yield start + frame, struct.unpack_from(f"<{channels}f", data, offset + frame * channels * 4)


async def send(socket, path):
    with wave.open(path) as talk:
        rate, channels = talk.getframerate(), talk.getnchannels()
        assert talk.getsampwidth() == 2, "expected 16-bit PCM"
        if channels == 1:
            await socket.send(json.dumps({"type": "flush", "voice": "own"}))
        while data := talk.readframes(int(rate * PACKET_S)):
            for channel in range(min(channels, 2)):
                samples = memoryview(data).cast("h")[channel::channels].tolist()
                await socket.send(audio_frame(channel == 0, rate, struct.pack(f"<{len(samples)}h", *samples)))
            await asyncio.sleep(PACKET_S)
    await socket.send(json.dumps({"type": "finish"}))


async def main(path, url):
    async with websockets.connect(url) as socket:
        await socket.send(json.dumps({"type": "start", "version": 1, "space": "arkit55"}))
        started = json.loads(await socket.recv())
        if started["type"] == "error":
            sys.exit(f"{started['what']}; {started.get('hint', '')}")
        jaw, yaw = (started["channels"].index(name) for name in ("jawOpen", "headYaw"))
        sender = asyncio.create_task(send(socket, path))
        async for message in socket:
            if isinstance(message, bytes):
                for number, values in motion_frames(message):
                    print(f"{number / started['fps']:.2f} s  jawOpen {values[jaw]:.2f}  headYaw {values[yaw]:+.2f}")
            elif (said := json.loads(message))["type"] == "finished":
                print(f"finished: {said['frames']} frames")
                break
            elif said["type"] == "error":
                sys.exit(f"{said['what']}; {said.get('hint', '')}")
        await sender


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "ws://127.0.0.1:8730/live"))
