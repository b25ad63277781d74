/** Rows that come while others are being written go together in the next statement: one round trip for many callers, each of whom waits for it. */

/**
 * A table of one row for the `from` of an insert. Its transaction is committed when PostgreSQL has it, not when the disk
 * has: that survives the death of every process, and only a power cut may take the last half second. Used where a
 * clinician waits and the row only records what was shown.
 */
export const withoutWaitingForTheDisk = `(select set_config('synchronous_commit', 'off', true)) as commit_mode`;

export function groupCommit<Row>(
  write: (rows: readonly Row[]) => Promise<void>,
  largest = 500,
): (row: Row) => Promise<void> {
  type Waiting = { readonly row: Row; readonly done: () => void; readonly failed: (error: unknown) => void };
  let waiting: Waiting[] = [];
  let writing = false;

  async function writeAll(): Promise<void> {
    writing = true;
    while (waiting.length > 0) {
      const group = waiting.slice(0, largest);
      waiting = waiting.slice(largest);
      try {
        await write(group.map(({ row }) => row));
        for (const { done } of group) done();
      } catch {
        // One row that cannot be stored must not take the others along.
        for (const one of group) await writeAlone(one);
      }
    }
    writing = false;
  }

  async function writeAlone({ row, done, failed }: Waiting): Promise<void> {
    try {
      await write([row]);
      done();
    } catch (error) {
      failed(error);
    }
  }

  return (row) =>
    new Promise<void>((done, failed) => {
      waiting.push({ row, done, failed });
      if (!writing) void writeAll();
    });
}
