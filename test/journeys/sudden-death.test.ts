/** kill -9 at random moments: every study ends with exactly one report. */
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packsCalled } from '../support/packs.ts';
import { eventually, openWorld, type Film, type World } from './world.ts';

const patients = ['patient-brandt', 'patient-castellano', 'patient-haddad', 'patient-lindqvist', 'patient-okafor'];
const films = ['normal', 'l4-l5-grade-1', 'l5-s1-grade-2', 'normal-implant'];
const deaths = 20;

describe('a service that is killed again and again', () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld({ WETREAD_MODELS_DIR: packsCalled('lumbar-landmarks'), WETREAD_RETRY_LIMIT: '40' });
    await world.startService();
  });
  afterAll(() => world.close());

  test(`reads 20 studies through ${deaths} deaths, each with exactly one report`, async () => {
    const arrived: Film[] = [];
    // A fixed seed: a failure can be repeated, as far as processes can be.
    const random = seeded(20_261_121);
    for (let death = 0; death < deaths; death += 1) {
      arrived.push(await world.arrive(patients[death % patients.length]!, films[death % films.length]!));
      await wait(random() * 1_500);
      await world.endService('SIGKILL');
      await world.startService();
    }
    const counts = await eventually(
      async () => {
        const all = await Promise.all(arrived.map(async (film) => (await world.reportsOf(film)).length));
        return all.every((count) => count > 0) && all;
      },
      { everyMs: 1_000 },
    );
    expect(counts).toEqual(arrived.map(() => 1));
  }, 400_000);
});

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
