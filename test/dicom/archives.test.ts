/** The archive contract, against a small loopback server and against a real Orthanc. */
import { archiveContract } from '../contracts/archive.contract.ts';
import { startDicomwebServer } from '../support/dicomweb-server.ts';
import { orthancInstalled, startOrthanc } from '../support/orthanc.ts';

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
