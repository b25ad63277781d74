/** A port that a program may be told to listen on: nobody has it, and the system gives it to nobody else meanwhile. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const given = new Set<number>();

/** Where the system takes ports from for `listen(0)` and for calls that go out: between the asking and the listening it could give ours away. */
function firstPortOfTheSystem(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/)[0]);
  } catch {
    return 32_768;
  }
}

export async function freePort(): Promise<number> {
  const [from, to] = [15_000, Math.max(16_000, firstPortOfTheSystem())];
  for (;;) {
    const port = from + Math.floor(Math.random() * (to - from));
    if (given.has(port) || !(await canListen(port))) continue;
    given.add(port);
    return port;
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
