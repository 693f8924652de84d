#!/usr/bin/env python3
"""A TCP proxy with faults: fault_proxy.py [ADDRESS:PORT]

Listens on a port of 127.0.0.1 that the kernel picks, prints it, and forwards to the target. Reads
commands from stdin, one a line, answers each with "ok" or "error: ..."; ends at end of input.
DIRECTION is `up` (towards the target) or `down`; without it a command means both.

    target ADDRESS:PORT     where to forward to from now on
    delay MS [DIRECTION]    everything arrives that much later
    throttle BYTES [DIRECTION]  at most so many bytes a second; 0: no bound
    corrupt BYTES [DIRECTION]   a wrong bit in about every BYTES bytes; 0: none
    stall [DIRECTION]       reads nothing any more: what is sent piles up in the kernel
    resume [DIRECTION]      ends a stall
    oneway DIRECTION        bytes of the other direction vanish
    cut                     resets all connections; new ones are taken, but nothing passes
    refuse                  resets all connections and does not listen
    heal                    ends cut, refuse, oneway, stall, delay, throttle and corrupt
    count                   answers "ok CONNECTIONS BYTES_UP BYTES_DOWN"
"""
import asyncio
import os
import random
import signal
import socket
import struct
import sys

UP, DOWN = "up", "down"
CHUNK = 65536


class Lane:
    """The faults of one direction."""

    def __init__(self):
        self.delay = 0.0
        self.rate = 0
        self.corrupt = 0
        self.lost = False
        self.bytes = 0
        self.flowing = asyncio.Event()
        self.flowing.set()

    def heal(self):
        self.delay = 0.0
        self.rate = self.corrupt = 0
        self.lost = False
        self.flowing.set()


def spoil(lane, chunk):
    data = bytearray(chunk)
    for _ in range(len(data) // lane.corrupt + (random.random() < len(data) % lane.corrupt / lane.corrupt)):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


class Proxy:
    def __init__(self, target):
        self.target = target
        self.lanes = {UP: Lane(), DOWN: Lane()}
        self.writers = set()
        self.dark = False
        self.connections = 0
        self.server = None
        self.port = 0

    async def listen(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, limit=CHUNK)
        self.port = self.server.sockets[0].getsockname()[1]

    def reset_all(self):
        for writer in list(self.writers):
            raw = writer.get_extra_info("socket")
            if raw is not None:
                try:
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                except OSError:
                    pass
            writer.transport.abort()
        self.writers.clear()

    async def deliver(self, lane, queue, writer):
        loop = asyncio.get_running_loop()
        try:
            while True:
                due, chunk = await queue.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if chunk is None:
                    break
                if lane.corrupt:
                    chunk = spoil(lane, chunk)
                if not lane.lost:
                    writer.write(chunk)
                    await writer.drain()
                    lane.bytes += len(chunk)
        except OSError:
            pass
        writer.close()

    async def pump(self, lane, reader, writer):
        loop = asyncio.get_running_loop()
        queue = asyncio.Queue(64)
        task = asyncio.ensure_future(self.deliver(lane, queue, writer))
        try:
            while True:
                await lane.flowing.wait()
                chunk = await reader.read(min(CHUNK, max(256, lane.rate // 20)) if lane.rate else CHUNK)
                if not chunk:
                    break
                await lane.flowing.wait()
                if lane.rate:
                    await asyncio.sleep(len(chunk) / lane.rate)
                await queue.put((loop.time() + lane.delay, chunk))
        except OSError:
            pass
        await queue.put((loop.time() + lane.delay, None))
        await task

    async def serve(self, reader, writer):
        self.connections += 1
        self.writers.add(writer)
        if self.dark:
            return
        try:
            host, port = self.target.rsplit(":", 1)
            far_reader, far_writer = await asyncio.open_connection(host, int(port), limit=CHUNK)
        except (OSError, AttributeError):
            self.writers.discard(writer)
            writer.transport.abort()
            return
        self.writers.add(far_writer)
        await asyncio.gather(self.pump(self.lanes[UP], reader, far_writer),
                             self.pump(self.lanes[DOWN], far_reader, writer))
        self.writers.discard(writer)
        self.writers.discard(far_writer)

    def lanes_of(self, words):
        return [self.lanes[words[0]]] if words else list(self.lanes.values())

    async def command(self, words):
        verb, rest = words[0], words[1:]
        if verb == "target":
            self.target = rest[0]
        elif verb in ("delay", "throttle", "corrupt"):
            value = int(rest[0])
            for lane in self.lanes_of(rest[1:]):
                if verb == "delay":
                    lane.delay = value / 1000
                elif verb == "throttle":
                    lane.rate = value
                else:
                    lane.corrupt = value
        elif verb == "stall":
            for lane in self.lanes_of(rest):
                lane.flowing.clear()
        elif verb == "resume":
            for lane in self.lanes_of(rest):
                lane.flowing.set()
        elif verb == "oneway":
            self.lanes[rest[0]].lost = False
            self.lanes[DOWN if rest[0] == UP else UP].lost = True
        elif verb == "cut":
            self.dark = True
            self.reset_all()
        elif verb == "refuse":
            self.server.close()
            await self.server.wait_closed()
            self.reset_all()
        elif verb == "heal":
            for lane in self.lanes.values():
                lane.heal()
            if self.dark:
                self.dark = False
                self.reset_all()
            if not self.server.is_serving():
                await self.listen()
        elif verb == "count":
            return "ok %d %d %d" % (self.connections, self.lanes[UP].bytes, self.lanes[DOWN].bytes)
        else:
            return "error: no such command"
        return "ok"


async def main():
    proxy = Proxy(sys.argv[1] if len(sys.argv) > 1 else None)
    await proxy.listen()
    print(proxy.port, flush=True)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while True:
        line = (await lines.readline()).decode()
        if not line:
            break
        try:
            answer = await proxy.command(line.split())
        except (IndexError, KeyError, ValueError, OSError) as fault:
            answer = "error: %r" % (fault,)
        print(answer, flush=True)
    proxy.reset_all()
    os._exit(0)


signal.signal(signal.SIGINT, signal.SIG_DFL)
asyncio.run(main())
