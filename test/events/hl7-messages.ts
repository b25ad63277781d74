/** Synthetic HL7 v2 messages as hospitals send them. Nobody in them exists. */
export const lines = (...segments: readonly string[]): string => segments.map((segment) => `${segment}\r`).join('');

let counted = 0;
export const header = (
  type: string,
  more: { id?: string; version?: string; sender?: string; modes?: string } = {},
): string => {
  counted += 1;
  const { id = `T${counted}`, version = '2.3.1', sender = 'RIS|MAIN', modes = '' } = more;
  return `MSH|^~\\&|${sender}|WETREAD|AI|20260301101500||${type}|${id}|P|${version}|||${modes}`;
};
export const patient = (number = '100234') => `PID|1||${number}^^^HOSP^MR~99-1^^^STATE^SS||TESTPERSON^ANNA||19500101|F`;

/** IHE RAD-4 of version 2.3.1: accession number in OBR-18, study UID in ZDS. */
export const orm = (given: {
  control?: string;
  status?: string;
  placer?: string;
  filler?: string;
  accession?: string;
  priority?: string;
  service?: string;
  studyUid?: string;
  number?: string;
  id?: string;
  modes?: string;
}): string => {
  const { control = 'NW', status = '', placer = 'P1^HIS', filler = 'F1^RIS', accession = '', priority = '' } = given;
  const timing = priority === '' ? '' : `^^^^^${priority}`;
  return lines(
    header('ORM^O01', given),
    patient(given.number),
    'PV1|1|I|WARD^2',
    `ORC|${control}|${placer}|${filler}||${status}||${timing}`,
    `OBR|1|${placer}|${filler}|${given.service ?? 'XRLS^XR LUMBAR SPINE LATERAL^LOCAL'}||||||||||||||${accession}|RP1|SPS1||||RAD`,
    ...(given.studyUid === undefined ? [] : [`ZDS|${given.studyUid}^RIS^Application^DICOM`]),
  );
};

/** IHE RAD-4 of version 2.5.1: accession number and study UID in IPC, priority in TQ1. */
export const omi = (given: {
  accession: string;
  studyUid?: string;
  priority?: string;
  control?: string;
  status?: string;
  id?: string;
}): string =>
  lines(
    header('OMI^O23^OMI_O23', { version: '2.5.1', ...given }),
    patient(),
    `ORC|${given.control ?? 'NW'}|P7^HIS|F7^RIS||${given.status ?? ''}`,
    `TQ1|1||||||20260301110000||${given.priority ?? 'R'}^x^HL70485`,
    'OBR|1|P7^HIS|F7^RIS|24969-8^XR Lumbar spine Lateral^LN|||||||||||||||||||||||||||||||||||||||||24969-8^XR L^LN',
    `IPC|${given.accession}^RIS|RP7|${given.studyUid ?? ''}^RIS|SPS7|DX`,
  );

/** "Imaging results are available" as an archive sends it (IHE RAD-128), or a report when it has a text. */
export const oru = (given: {
  accession?: string;
  studyUid?: string;
  status?: string;
  report?: string;
  filler?: string;
  placer?: string;
  number?: string;
  id?: string;
}): string =>
  lines(
    header('ORU^R01^ORU_R01', { version: '2.5.1', sender: 'PACS|MAIN', ...given }),
    patient(given.number),
    `ORC|SC|${given.placer ?? ''}|${given.filler ?? ''}||CM`,
    'TQ1|1||||||20260301110000||R^Routine^HL70078',
    `OBR|1|${given.placer ?? ''}|${given.filler ?? ''}|XRLS^XR LUMBAR SPINE^LOCAL||||||||||||||${given.accession ?? ''}||||||RAD|${given.status ?? 'R'}`,
    ...(given.report === undefined ? [] : [`OBX|1|TX|18782-3^Report^LN||${given.report}||||||F`]),
    ...(given.studyUid === undefined ? [] : [`OBX|2|ST|113014^DICOM Study^DCM||${given.studyUid}||||||O`]),
  );
