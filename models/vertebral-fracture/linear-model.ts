/** The linear model on chosen features, as training/vertebral_fracture writes it: z-scores, class scores, and what each feature adds. */
import type { Hollow } from '../lumbar-landmarks/heights.ts';
import model from './model.json' with { type: 'json' };

export type ChosenFeature = (typeof model.features)[number];

export const chosen: readonly ChosenFeature[] = model.features;
export const radiomicsNames: readonly string[] = namesFrom('radiomics');
export const deepNames: readonly string[] = namesFrom('deep');
export const classes: readonly string[] = model.classes.map((one) => String(one.class));

function namesFrom(source: string): string[] {
  return chosen.filter((one) => one.source === source).map(({ name }) => name);
}

export type Judged = {
  /** By class, adding up to 1. */
  readonly probabilities: readonly number[];
  /** In the order of the chosen features. */
  readonly zScores: readonly number[];
  /** The class that is told: none, unless together the others reach the threshold. */
  readonly leading: number;
  /** Whether its features lie where those it was fitted on lie. */
  readonly isLikeTrainingData: boolean;
};

/** `values`: in the order of {@link chosen}. */
export function judge(values: readonly number[]): Judged {
  const zScores = chosen.map(({ mean, sd }, index) => (values[index]! - mean) / sd);
  const scores = classes.map((_, one) =>
    chosen.reduce((sum, { coefficients }, index) => sum + coefficients[one]! * zScores[index]!, model.intercepts[one]!),
  );
  const highest = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - highest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  const probabilities = powers.map((power) => power / total);
  const fractured = probabilities.slice(1);
  const leading =
    1 - probabilities[0]! < model.thresholds.anyFracture ? 0 : 1 + fractured.indexOf(Math.max(...fractured));
  const meanSquare = zScores.reduce((sum, z) => sum + z * z, 0) / zScores.length;
  return { probabilities, zScores, leading, isLikeTrainingData: meanSquare <= model.likeness.mostMeanSquaredZ };
}

/** Share of a body's height that is missing at its middle, from everything the network saw. */
export function hollowOf(deep: Float32Array): Hollow {
  const { weights, intercept, usual, sd, deep: beyond } = model.hollow;
  const share = weights.reduce((sum, weight, index) => sum + weight * deep[index]!, intercept);
  return { share, usual, standardDeviation: share > beyond.from ? beyond.sd : sd };
}

/** How much more a feature's coefficient speaks for a class than for the mean of the others. */
const lead = (values: readonly number[], of: number): number =>
  values[of]! - values.reduce((sum, value, index) => (index === of ? sum : sum + value), 0) / (values.length - 1);

/** What each chosen feature adds to the class's score against the others, and the constant term. */
export function contributions(
  { zScores }: Judged,
  of: number,
): { readonly parts: readonly number[]; readonly rest: number } {
  return {
    parts: chosen.map(({ coefficients }, index) => lead(coefficients, of) * zScores[index]!),
    rest: lead(model.intercepts, of),
  };
}

/** How much a unit of a deep feature, at one place of its map, adds to the class against the others. */
export const deepWeights = (of: number): { readonly channel: number; readonly weight: number }[] =>
  chosen
    .filter(({ source }) => source === 'deep')
    .map(({ name, sd, coefficients }) => ({ channel: Number(name), weight: lead(coefficients, of) / sd }));
