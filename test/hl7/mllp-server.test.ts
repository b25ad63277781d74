/** The MLLP listener and the sender, over real sockets on this machine. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { BlockList, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { mllpClient } from '../../src/hl7/mllp-client.ts';
import { mllpServer, type MllpServer, type MllpServerOptions, type WholeFrame } from '../../src/hl7/mllp-server.ts';

let server: MllpServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});
const echo = async (frame: WholeFrame) => Buffer.from(`${frame.kind}:${frame.bytes.toString('latin1').slice(0, 20)}`);
const serve = async (more: Partial<MllpServerOptions> = {}) => {
  server = await mllpServer({ host: '127.0.0.1', port: 0, answer: echo, logger: silentLogger, ...more });
  return server.port;
};
async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}
/** Everything that comes back until the connection ends or the text is there. */
async function heard(socket: Socket, until?: string): Promise<string> {
  let text = '';
  for await (const piece of socket.iterator({ destroyOnReturn: false })) {
    text += (piece as Buffer).toString('latin1');
    if (until !== undefined && text.includes(until)) break;
  }
  return text;
}

describe('the listener', () => {
  it('answers each message once and in order, split and joined as they may be', async () => {
    const socket = await open(await serve());
    for (const piece of ['\x0bA', '\x1c', '\r\x0bB\x1c\r\x0b', 'C\x1c\r']) {
      socket.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(await heard(socket, ':C\x1c\r')).toBe('\x0bmessage:A\x1c\r\x0bmessage:B\x1c\r\x0bmessage:C\x1c\r');
    socket.destroy();
  });

  it('answers a sender that closes its side right after the message', async () => {
    const socket = connect({
      port: await serve({ answer: (frame) => new Promise((resolve) => setTimeout(() => resolve(frame.bytes), 50)) }),
      host: '127.0.0.1',
      allowHalfOpen: true,
    });
    socket.end('\x0bA\x1c\r\x0bB\x1c\r');
    expect(await heard(socket)).toBe('\x0bA\x1c\r\x0bB\x1c\r');
  });

  it('reads no further while a message is being answered', async () => {
    const order: string[] = [];
    let running = 0;
    const answer = async ({ bytes }: WholeFrame) => {
      running += 1;
      order.push(`${bytes.toString()}${running}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
      running -= 1;
      return bytes;
    };
    const socket = await open(await serve({ answer }));
    socket.write('\x0bA\x1c\r\x0bB\x1c\r\x0bC\x1c\r');
    await heard(socket, 'C\x1c');
    socket.destroy();
    expect(order).toEqual(['A1', 'B1', 'C1']);
  });

  it('says which message was too large and takes the next on the same connection', async () => {
    const socket = await open(await serve({ maxBytes: 5000 }));
    socket.write(`\x0bMSH|BIG${'x'.repeat(300_000)}\x1c\r\x0bSMALL\x1c\r`);
    const answers = await heard(socket, 'SMALL');
    expect(answers.slice(0, 18)).toBe('\x0btoo-large:MSH|BIG');
    expect(answers).toContain('\x1c\r\x0bmessage:SMALL');
    socket.destroy();
  });

  it('closes a connection that stalls within a message, and one that is silent too long', async () => {
    const stalled = await open(await serve({ stalledMs: 50, idleMs: 600_000 }));
    stalled.write('\x0bA');
    expect(await heard(stalled)).toBe('');
    await server!.close();
    // Long enough to say something first, on a machine that is slow as well.
    const silent = await open(await serve({ stalledMs: 600_000, idleMs: 1_500 }));
    silent.write('\x0bA\x1c\r');
    expect(await heard(silent)).toBe('\x0bmessage:A\x1c\r');
  });

  it('takes no more connections than allowed, and others again when one is free', async () => {
    const port = await serve({ maxConnections: 2 });
    const [one, two, three] = [await open(port), await open(port), await open(port)];
    three!.write('\x0bC\x1c\r');
    expect(await heard(three!)).toBe('');
    one!.destroy();
    two!.write('\x0bB\x1c\r');
    expect(await heard(two!, 'B')).toContain('message:B');
    await expect.poll(() => server!.connections).toBe(1);
    const four = await open(port);
    four.write('\x0bD\x1c\r');
    expect(await heard(four, 'D')).toContain('message:D');
    for (const socket of [two!, four]) socket.destroy();
  });

  it('turns away an address that is not on the list', async () => {
    const allowed = new BlockList();
    allowed.addSubnet('10.0.0.0', 8, 'ipv4');
    const socket = await open(await serve({ allowed }));
    socket.write('\x0bA\x1c\r');
    expect(await heard(socket)).toBe('');
    await server!.close();
    allowed.addAddress('127.0.0.1', 'ipv4');
    const welcome = await open(await serve({ allowed }));
    welcome.write('\x0bA\x1c\r');
    expect(await heard(welcome, 'A')).toContain('message:A');
    welcome.destroy();
  });

  it('hangs up where that is the answer', async () => {
    const socket = await open(await serve({ answer: async () => 'hang-up' }));
    socket.write('\x0bA\x1c\r\x0bB\x1c\r');
    expect(await heard(socket)).toBe('');
  });

  it('finishes the message under way before it closes', async () => {
    let reached = () => {};
    const begun = new Promise<void>((resolve) => (reached = resolve));
    let go = () => {};
    const gate = new Promise<void>((resolve) => (go = resolve));
    const port = await serve({
      answer: async ({ bytes }) => {
        reached();
        await gate;
        return bytes;
      },
    });
    const [busy, idle] = [await open(port), await open(port)];
    busy.write('\x0bA\x1c\r\x0bB\x1c\r');
    await begun;
    const closed = server!.close();
    expect(await heard(idle)).toBe('');
    go();
    expect(await heard(busy)).toBe('\x0bA\x1c\r');
    await closed;
  });
});

describe('the sender', () => {
  it('sends over one connection and gets its own answers', async () => {
    const client = await mllpClient({ host: '127.0.0.1', port: await serve() });
    const answers = await Promise.all(['A', 'B', 'C'].map((text) => client.send(text)));
    expect(answers.map(String)).toEqual(['message:A', 'message:B', 'message:C']);
    client.close();
  });

  it('throws when no answer comes', async () => {
    const client = await mllpClient({
      host: '127.0.0.1',
      port: await serve({ answer: async () => 'nothing' }),
      timeoutMs: 50,
    });
    await expect(client.send('A')).rejects.toThrow(/no answer in time|closed/);
    const other = await mllpClient({ host: '127.0.0.1', port: server!.port, timeoutMs: 30_000 });
    const sent = other.send('A');
    await server!.close();
    await expect(sent).rejects.toThrow(/without an answer|ECONNRESET/);
  });
});

describe('over TLS', () => {
  let folder: string;
  const file = (name: string) => readFileSync(join(folder, name));
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'wetread-mllp-'));
    const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    for (const name of ['hospital', 'stranger']) {
      openssl(
        'req',
        '-x509',
        ...curve,
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.pem`,
        '-days',
        '2',
        '-subj',
        `/CN=${name} CA`,
      );
      openssl(
        'req',
        ...curve,
        '-keyout',
        `${name}-ris.key`,
        '-out',
        `${name}-ris.csr`,
        '-subj',
        '/CN=localhost',
        '-addext',
        'subjectAltName=IP:127.0.0.1',
      );
      openssl(
        'x509',
        '-req',
        '-in',
        `${name}-ris.csr`,
        '-CA',
        `${name}.pem`,
        '-CAkey',
        `${name}.key`,
        '-CAcreateserial',
        '-out',
        `${name}-ris.pem`,
        '-days',
        '2',
        '-copy_extensions',
        'copy',
      );
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const identity = (name: string) => ({ key: file(`${name}-ris.key`), cert: file(`${name}-ris.pem`) });
  const trusting = () => ({ ca: file('hospital.pem'), servername: '' });

  it('messages are encrypted, and nobody is asked for a certificate unless an authority is set', async () => {
    const port = await serve({ tls: identity('hospital') });
    const client = await mllpClient({ host: '127.0.0.1', port, tls: trusting() });
    expect(String(await client.send('A'))).toBe('message:A');
    client.close();
    await expect(mllpClient({ host: '127.0.0.1', port, tls: {} })).rejects.toThrow(/verify|certificate/);
  });

  it('with an authority, only senders it knows are heard', async () => {
    const port = await serve({ tls: { ...identity('hospital'), clientCa: file('hospital.pem') } });
    const client = await mllpClient({ host: '127.0.0.1', port, tls: { ...trusting(), ...identity('hospital') } });
    expect(String(await client.send('A'))).toBe('message:A');
    client.close();
    // With TLS 1.3 a refused certificate shows at the first exchange.
    for (const tls of [trusting(), { ...trusting(), ...identity('stranger') }]) {
      const attempt = mllpClient({ host: '127.0.0.1', port, tls, timeoutMs: 2000 }).then((stranger) =>
        stranger.send('B'),
      );
      await expect(attempt).rejects.toThrow(/certificate required|without an answer|ECONNRESET|unknown ca/);
    }
    const plain = await open(port);
    plain.write('\x0bMSH|no TLS\x1c\r');
    expect(await heard(plain)).not.toContain('message');
  });
});
