"""A line to a server on this machine that takes its time: what a client sends arrives later, at whatever rate it was sent.

    line.py PORT MILLISECONDS     prints the port to connect to, and forwards until it is stopped
"""
import asyncio
import subprocess
import sys

PIECE = 256 * 1024


async def forward(reader, writer, delay):
    loop = asyncio.get_running_loop()
    under_way = asyncio.Queue()

    async def arrive():
        while (item := await under_way.get()) is not None:
            at, data = item
            if at > loop.time():
                await asyncio.sleep(at - loop.time())
            writer.write(data)
            await writer.drain()
        writer.close()

    arriving = asyncio.create_task(arrive())
    try:
        while data := await reader.read(PIECE):
            under_way.put_nowait((loop.time() + delay, data))
    except ConnectionError:
        pass
    under_way.put_nowait(None)
    await asyncio.gather(arriving, return_exceptions=True)


async def serve(port, delay):
    async def connect(reader, writer):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(forward(reader, there_writer, delay), forward(there_reader, writer, 0))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Line:
    """Runs as long as the block does; `port` is this end of it."""

    def __init__(self, port, milliseconds):
        self.process = subprocess.Popen([sys.executable, "-B", __file__, str(port), str(milliseconds)], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


if __name__ == "__main__":
    try:
        asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]) / 1000))
    except KeyboardInterrupt:
        pass
