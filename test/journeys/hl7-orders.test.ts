/** A hospital that speaks HL7 v2 only: a STAT order, a film, "images are available"; and the service dies in between. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mllpClient } from '../../src/hl7/mllp-client.ts';
import { orm, oru } from '../events/hl7-messages.ts';
import { freePort } from '../support/free-port.ts';
import { packsCalled } from '../support/packs.ts';
import { eventually, openWorld, type Film, type World } from './world.ts';

let world: World;
let port: number;
beforeAll(async () => {
  port = await freePort();
  // Nobody else tells of studies: no subscription, no polling.
  world = await openWorld({
    WETREAD_MODELS_DIR: packsCalled('lumbar-landmarks'),
    WETREAD_HL7_PORT: String(port),
    WETREAD_HL7_SENDERS: 'RIS@MAIN,PACS@MAIN',
    WETREAD_SUBSCRIPTION_TOPIC: '',
    WETREAD_POLL_SECONDS: '0',
  });
  await world.startService();
});
afterAll(() => world.close());

async function send(message: string): Promise<string> {
  const client = await mllpClient({ host: '127.0.0.1', port });
  const answer = await client.send(message);
  client.close();
  return answer.toString();
}
/** A process that is killed while it looks after an exam keeps it for two minutes more: only then another one may. */
const reported = (film: Film) => eventually(async () => (await world.reportsOf(film))[0], { withinMs: 270_000 });

describe('a hospital that speaks HL7 v2 only', () => {
  it('a film is read because a message says that it is there', async () => {
    const film = await world.arrive('patient-brandt', 'l4-l5-grade-1');
    expect(await send(orm({ accession: film.accession, priority: 'S', number: '' }))).toContain('MSA|AA');
    expect(await world.reportsOf(film)).toEqual([]);
    expect(await send(oru({ accession: film.accession, number: '' }))).toContain('MSA|AA');
    expect(await reported(film)).toMatchObject({ resourceType: 'DiagnosticReport', status: 'partial' });
    expect(world.log()).toContain('"priority":"stat"');
    expect(world.log()).not.toContain(film.accession);
  });

  it('what was acknowledged is read, also when the service dies at once', async () => {
    const early = await send(oru({ accession: 'NOT-YET-THERE', id: 'E1' }));
    expect(early).toContain('MSA|AA|E1');
    const film = await world.arrive('patient-brandt', 'normal');
    expect(await send(oru({ studyUid: film.studyUid, id: 'E2' }))).toContain('MSA|AA|E2');
    await world.endService('SIGKILL');
    await world.startService();
    expect(await reported(film)).toMatchObject({ resourceType: 'DiagnosticReport' });
    expect(await send(oru({ studyUid: film.studyUid, id: 'E2' }))).toContain('MSA|AA|E2');
    expect(await world.reportsOf(film)).toHaveLength(1);
  }, 400_000);

  it('a stranger is refused', async () => {
    expect(await send(orm({ accession: 'X' }).replace('|RIS|MAIN|', '|OTHER|MAIN|'))).toContain(
      'hl7.sender-not-allowed',
    );
  });
});
