/** What has become of each film since it arrived, told to the pages that are open. */
import type { Response } from 'express';

export type FilmStep = 'stored' | 'notified' | 'fetched' | 'reported';
export type FilmProgress = {
  readonly studyUid: string;
  readonly patient: string;
  readonly film: string;
  /** When each step happened. */
  readonly steps: Readonly<Partial<Record<FilmStep, string>>>;
};

export type HospitalEvent =
  | ({ readonly kind: 'film' } & FilmProgress)
  /** Something in this patient's chart is new. */
  | { readonly kind: 'chart'; readonly patient: string; readonly resourceType: string };

export type Progress = {
  begin(film: Omit<FilmProgress, 'steps'>): void;
  /** Ignored for studies that did not arrive here. */
  reached(studyUid: string, step: FilmStep): void;
  films(patient: string): FilmProgress[];
  publish(event: HospitalEvent): void;
  /** Keeps a response open as a stream of server-sent events. */
  follow(response: Response): void;
  close(): void;
};

const keepAliveMs = 15_000;

export function followProgress(): Progress {
  const films = new Map<string, FilmProgress>();
  const followers = new Set<Response>();
  const keepAlive = setInterval(() => followers.forEach((response) => response.write(': still here\n\n')), keepAliveMs);
  keepAlive.unref();

  function publish(event: HospitalEvent): void {
    for (const response of followers) response.write(`data: ${JSON.stringify(event)}\n\n`);
  }

  return {
    begin: (film) => void films.set(film.studyUid, { ...film, steps: {} }),
    reached(studyUid, step) {
      const film = films.get(studyUid);
      if (film === undefined || film.steps[step] !== undefined) return;
      const next = { ...film, steps: { ...film.steps, [step]: new Date().toISOString() } };
      films.set(studyUid, next);
      publish({ kind: 'film', ...next });
    },
    films: (patient) => [...films.values()].filter((film) => film.patient === patient),
    publish,
    follow(response) {
      response.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      });
      response.write(': welcome\n\n');
      followers.add(response);
      response.on('close', () => followers.delete(response));
    },
    close() {
      clearInterval(keepAlive);
      for (const response of followers) response.end();
    },
  };
}
