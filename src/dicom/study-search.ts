/** The question for studies (PS3.18 10.6.1.2), and which answers can be meant by it. */
import type { StudyQuery } from '../domain/ports.ts';
import { queryTags, textOf, textsOf, type DicomJsonRow } from './dicom-json.ts';
import type { Search } from './qido.ts';

const hourMs = 3600_000;

export function studySearch({ studyUid, accession, modality, since, until }: StudyQuery): Search {
  const from = since === undefined ? '' : dayOf(since, -12);
  const to = until === undefined ? '' : dayOf(until, 14);
  return {
    path: 'studies',
    where: {
      ...(studyUid === undefined ? {} : { StudyInstanceUID: studyUid }),
      ...(accession === undefined ? {} : { AccessionNumber: accession }),
      ...(modality === undefined ? {} : { ModalitiesInStudy: modality }),
      ...(from === '' && to === '' ? {} : { StudyDate: `${from}-${to}` }),
    },
    includefield: [
      queryTags.StudyDescription,
      queryTags.ModalitiesInStudy,
      queryTags.AccessionNumber,
      queryTags.PatientID,
      queryTags.NumberOfStudyRelatedInstances,
    ],
    uidOf: (row) => textOf(row, 'StudyInstanceUID'),
    fits(row) {
      const modalities = modalitiesOf(row);
      const day = textOf(row, 'StudyDate')?.replaceAll(/[.-]/g, '') ?? '';
      return (
        (studyUid === undefined || textOf(row, 'StudyInstanceUID') === studyUid) &&
        (accession === undefined || textOf(row, 'AccessionNumber') === accession.trim()) &&
        // What an archive does not tell of a study cannot speak against it.
        (modality === undefined || modalities.length === 0 || modalities.includes(modality)) &&
        (day === '' || ((from === '' || day >= from) && (to === '' || day <= to)))
      );
    },
  };
}

export const modalitiesOf = (row: DicomJsonRow): string[] =>
  textsOf(row, 'ModalitiesInStudy').flatMap((text) => text.split('\\'));

/** DICOM dates have no zone: a day begins up to 14 hours before it does in UTC and ends up to 12 after. Better to see a study twice than never. */
function dayOf(moment: Date, hours: number): string {
  return new Date(moment.getTime() + hours * hourMs).toISOString().slice(0, 10).replaceAll('-', '');
}
