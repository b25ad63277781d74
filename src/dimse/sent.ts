/** Writes to a connection no faster than the other side reads. */
import type { Socket } from 'node:net';

/** Resolves when more may be written, or when nobody will read it any more: whoever goes on sees which. */
export async function sent(socket: Socket, ...pieces: readonly Uint8Array[]): Promise<void> {
  let room = true;
  for (const piece of pieces) room = socket.write(piece);
  // A connection that is closed already never drains.
  if (room || socket.destroyed) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}
