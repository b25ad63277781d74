/** The archive contract, against a small loopback server and against a real Orthanc. */
import { expect, test } from 'vitest';
import { dicomwebArchive } from '../../src/dicom/dicomweb-archive.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { archiveContract } from '../contracts/archive.contract.ts';
import { startDicomwebServer } from '../support/dicomweb-server.ts';
import { orthancInstalled, startOrthanc } from '../support/orthanc.ts';
import { fixture } from './fixtures.ts';

archiveContract('a loopback server', (files) => startDicomwebServer({ files }), { retrievesOnly: true });
archiveContract(
  'a server that ignores limit and offset',
  (files) => startDicomwebServer({ files, ignoresPaging: 'limit and offset' }),
  { retrievesOnly: true },
);
archiveContract('a server that gives two rows at most', (files) => startDicomwebServer({ files, most: 2 }), {
  retrievesOnly: true,
});

// Where this is the only machine that looks, a missing Orthanc is a fault and not a reason to look away.
const skip = !orthancInstalled && !process.env['CI'];
if (skip)
  console.warn(
    'SKIPPED: the archive contract against Orthanc, which is not installed (apt-get install orthanc orthanc-dicomweb)',
  );
archiveContract('Orthanc', startOrthanc, { skip });

test.skipIf(skip)('Orthanc that knows its users lets those in whose password is right', async () => {
  const orthanc = await startOrthanc([fixture('grey12')], { user: { name: 'wetread', password: 'p:ä s' } });
  try {
    const as = (text: string) =>
      dicomwebArchive({
        baseUrl: orthanc.baseUrl,
        authorization: { header: async () => `Basic ${Buffer.from(text).toString('base64')}` },
        logger: silentLogger,
      });
    expect(await as('wetread:p:ä s').findStudies({})).toHaveLength(1);
    await expect(as('wetread:wrong').findStudies({})).rejects.toMatchObject({ code: 'archive.refused' });
  } finally {
    await orthanc.stop();
  }
});
