/** What a model, or a reader, said of each picture, in one form for everything that is evaluated. */
import { z } from 'zod';

const finite = z.number();
const interval = z.tuple([finite, finite]);

const answer = z.strictObject({
  file: z.string().min(1),
  /** The picture was changed in this known way before it was read; places are told in the original's pixels. */
  variation: z.string().min(1).exactOptional(),
  /** The picture was refused; counts as abstention, never as right or wrong. Landmarks then are where the model looked. */
  abstained: z.string().min(1).exactOptional(),
  /** By label; the highest is the answer. */
  scores: z.record(z.string(), finite).exactOptional(),
  /** Of a sorting that has no names yet. */
  cluster: z.string().min(1).exactOptional(),
  boxes: z
    .array(
      z.strictObject({
        label: z.string().min(1),
        box: z.tuple([finite, finite, finite, finite]),
        score: finite,
        /** False: below the model's own operating point, told for curves only. Left out: a threshold decides. */
        called: z.boolean().exactOptional(),
      }),
    )
    .exactOptional(),
  values: z.record(z.string(), z.strictObject({ value: finite, interval: interval.exactOptional() })).exactOptional(),
  grades: z.record(z.string(), z.string().min(1)).exactOptional(),
  /** By concept and place, such as `spondylolisthesis@L4/L5`: the conclusion in a word or two. */
  findings: z.record(z.string(), z.string().min(1)).exactOptional(),
  landmarks: z.record(z.string(), z.tuple([finite, finite])).exactOptional(),
  milliseconds: finite.exactOptional(),
  /** An error code: the picture could not be read at all. Counted apart from abstention. */
  failed: z.string().min(1).exactOptional(),
});

export type Answer = z.output<typeof answer>;

/** One JSON object a line. Throws SyntaxError naming the line and the field. */
export function readAnswers(text: string): Answer[] {
  return text.split('\n').flatMap((row, index) => {
    if (row.trim() === '') return [];
    let written: unknown;
    try {
      written = JSON.parse(row);
    } catch {
      throw new SyntaxError(`line ${index + 1}: is not JSON`);
    }
    const result = answer.safeParse(written);
    if (result.success) return [result.data];
    const [issue] = result.error.issues;
    throw new SyntaxError(`line ${index + 1}: ${issue!.path.join('.') || 'the row'}: ${issue!.message}`);
  });
}
