/** Classes of single places, such as each vertebra's: one against the rest, by the scores that the model gives each class there. */
import type { BootstrapOptions } from '../intervals.ts';
import { answered, type Pair } from '../pair.ts';
import type { DataKind, Section } from '../report.ts';
import { classificationSection } from './classification.ts';

/**
 * Every place with a grade in the truth (`grade:OVF class@L1`) becomes a case of its own, of the same patient. Scores of
 * a place are named `OVF class@L1=2`.
 */
export function gradedPlaceSections(
  kind: DataKind,
  test: readonly Pair[],
  validation: readonly Pair[],
  options: BootstrapOptions = {},
): Section[] {
  const scales = new Set(answered(test).flatMap(({ row }) => Object.keys(row.grades).map(scaleOf)));
  return [...scales].flatMap((scale) => {
    const places = placesOf(test, scale);
    const judged = answered(places);
    if (judged.length === 0) return [];
    const section = classificationSection(kind, places, placesOf(validation, scale), options);
    if (section === undefined) return [];
    const said = `Each place counts as a case of its patient. ${judged.length} of ${places.length} places with a truth, on pictures that were read, were judged.`;
    return [
      { ...section, title: `${scale} of each place: ${section.title.toLowerCase()}`, says: `${said} ${section.says}` },
    ];
  });
}

const scaleOf = (key: string): string => key.split('@', 1)[0]!;

function placesOf(pairs: readonly Pair[], scale: string): Pair[] {
  return answered(pairs).flatMap(({ row, answer }) =>
    Object.entries(row.grades)
      .filter(([key]) => key.includes('@') && scaleOf(key) === scale)
      .map(([key, label]): Pair => {
        const file = `${row.file}, ${key.slice(scale.length + 1)}`;
        const scores = scoresAt(answer.scores ?? {}, key);
        const judged = Object.keys(scores).length > 0;
        return {
          row: { ...row, file, label },
          answer: judged ? { file, scores } : { file, abstained: 'place not judged' },
        };
      }),
  );
}

const scoresAt = (scores: Readonly<Record<string, number>>, key: string): Record<string, number> =>
  Object.fromEntries(
    Object.entries(scores).flatMap(([name, score]) =>
      name.startsWith(`${key}=`) ? [[name.slice(key.length + 1), score]] : [],
    ),
  );
