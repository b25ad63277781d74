/** How far a long command is: one line that changes, for people; nothing where nobody watches. */
import type { Io } from './command.ts';

const width = 24;

export function progressBar({ stderr }: Pick<Io, 'stderr'>, total: number) {
  const watched = stderr.isTTY === true && total > 1;
  const started = Date.now();
  return {
    show(done: number, what: string): void {
      if (!watched) return;
      const full = Math.round((done / total) * width);
      const seconds = done === 0 ? undefined : Math.ceil(((Date.now() - started) / 1000 / done) * (total - done));
      const left =
        seconds === undefined
          ? ''
          : `, about ${seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`} left`;
      stderr.write(
        `\r\u001B[K${'█'.repeat(full)}${'░'.repeat(width - full)} ${done}/${total}${left}  ${what.slice(-40)}`,
      );
    },
    clear(): void {
      if (watched) stderr.write('\r\u001B[K');
    },
  };
}
