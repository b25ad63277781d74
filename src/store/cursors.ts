/** How far each poll has come, by its name. */
import type { Database } from './database.ts';

export interface Cursors {
  get(name: string): Promise<string | undefined>;
  set(name: string, value: string): Promise<void>;
}

export function cursors(database: Database): Cursors {
  return {
    async get(name) {
      const [row] = await database.query<{ value: string }>('select value from wetread.cursor where name = $1', [name]);
      return row?.value;
    },
    async set(name, value) {
      await database.query(
        `insert into wetread.cursor (name, value) values ($1, $2)
         on conflict (name) do update set value = excluded.value, changed_at = now()`,
        [name, value],
      );
    },
  };
}
