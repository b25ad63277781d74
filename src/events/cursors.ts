/** Where an event source stands; kept in the database, so that a restart goes on from there. */
export interface Cursors {
  get(name: string): Promise<string | undefined>;
  set(name: string, value: string): Promise<void>;
}
