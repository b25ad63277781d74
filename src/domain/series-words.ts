/** What the words of technologists and protocols say of a series: plane, weighting, scout, contrast, fat suppression. */
import type { Plane, Weighting } from './slice.ts';

/**
 * Descriptions are put together of pieces with `_`, `-`, `/` and no space ("t2_tse_sag_p2", "SAG T2 FRFSE-XL"), where
 * `\b` finds no end of a word beside `_` or a digit.
 */
const word = (pattern: string): RegExp => new RegExp(`(?<![\\p{L}\\d])(?:${pattern})(?![\\p{L}\\d])`, 'iu');
const beginning = (pattern: string): RegExp => new RegExp(`(?<!\\p{L})(?:${pattern})`, 'iu');

/** English, German, French, Spanish, Portuguese, Italian, Dutch, Polish, Turkish, Russian, Chinese, Japanese. */
const planes: readonly (readonly [Exclude<Plane, 'oblique'>, RegExp])[] = [
  ['sagittal', beginning('o?sag(?!\\p{L})|sagg?it|strza[łl]|сагит|矢状|矢狀|sgt(?!\\p{L})')],
  ['coronal', beginning('o?cor(?!\\p{L})|coron|korona|kor(?!\\p{L})|frontal|czo[łl]ow|корон|фронт|冠状|冠狀')],
  [
    'axial',
    beginning(
      'ax(?!\\p{L})|axi|aks|assial|tra(?!\\p{L})|trans(?!\\p{L})|transv|tvs(?!\\p{L})|аксиал|横断|橫斷|轴位|軸位',
    ),
  ],
];

/** Undefined when no plane is named, or several are ("3 plane", "sag and ax"). */
export function planeOfText(text: string): Exclude<Plane, 'oblique'> | undefined {
  const named = planes.filter(([, pattern]) => pattern.test(text));
  return named.length === 1 ? named[0]![0] : undefined;
}

/** In the order they are tried: "T2 STIR" is a STIR, "T2*" no T2, and "T1 FLAIR" a T1. */
const weightings: readonly (readonly [Weighting, RegExp])[] = [
  ['DWI', word('dwi|dti|adc|trace ?w?|diff(?:usion\\w*)?|difusi[oóò]n|diffusione|difus[aã]o|ep2d_diff|ivim')],
  ['STIR', word('stir\\w*|tirm?|t2_?tirm|short[ -]?t(?:au|i)\\w*')],
  ['T1', word('t1[ -_]?(?:w(?:i)?[ -_]?)?(?:tse|tirm|flair|fluid)?[ -_]?flair')],
  ['FLAIR', word('\\w*flair\\w*|dark[ -_]?fluid')],
  ['T2*', /(?<![\p{L}\d])(?:t2 ?\*|t2[ _-]?star|medic|merge|m-?ffe|swi|swan|hemo|gre_?t2)(?![\p{L}\d])/iu],
  ['T2', /(?<![\p{L}\d])t2(?:w|wi)?(?![\d*])|(?<![\p{L}\d])(?:frfse|haste|myelo\w*|t2-?gew\w*)(?![\p{L}\d])/iu],
  ['T1', /(?<![\p{L}\d])t1(?:w|wi)?(?!\d)|(?<![\p{L}\d])(?:mp-?rage|vibe|lava|t1-?gew\w*)(?![\p{L}\d])/iu],
  [
    'PD',
    word(
      'pd(?:w|fs|_?tse)?|dp|rho|proton[ -_]?(?:density|dichte)?|densit[eéà] (?:de )?proton\\w*|densidad prot[oó]nica',
    ),
  ],
];

export function weightingOfText(text: string): Weighting | undefined {
  // The Cyrillic Т looks the same.
  const latin = text.replaceAll('Т', 'T');
  return weightings.find(([, pattern]) => pattern.test(latin))?.[0];
}

const scouts =
  /(?<![\p{L}])(?:locali[sz]\p{L}*|localiser|locali[sz]ador|lokali[sz]\p{L}*|scouts?|aa\p{L}*scout|survey|surview|topogram\p{L}*|scanogram\p{L}*|rep[ée]rage|plan ?scan|(?:3|three|tri)[ _-]?(?:pl|plane|plan)s?|dose report|patient protocol|smart ?prep|loc(?!\p{L}))/iu;
/** Scouts, and pages of text that devices add to a study. */
export const saysScout = (text: string): boolean => scouts.test(text);

/** What is given, in the abbreviations of several languages: gadolinium, Kontrastmittel, mezzo di contrasto. */
const agent = '(?:gd|gad\\p{L}*|km|contrast\\p{L}*|kontrast\\p{L}*|mdc|контраст\\p{L}*)';
const nothing = '(?:w\\/o|wo|without|no|non|pre|ohne|sans|sin|senza|sem|zonder|bez|без)';
const without = new RegExp(
  `(?<!\\p{L})(?:${nothing}[ _/-]*${agent}|${nothing} ?c(?![\\p{L}-])|(?:pre|w\\/o|nativ\\p{L}*|unenhanced)(?!\\p{L})|c-(?=$|[\\s_]))`,
  'iu',
);
/** A bare C is no contrast: it is the neck's. */
const given = new RegExp(
  `(?<!\\p{L})(?:${agent}|post|ce|inj(?:ect\\p{L}*)?|inyect\\p{L}*|(?:post|w|with) ?\\/? ?c)(?![\\p{L}-])|\\+ ?(?:c|${agent})(?!\\p{L})|(?<!\\p{L})c ?\\+`,
  'iu',
);
/** Whether the words say that contrast was given; undefined when they do not speak of it. */
export function contrastOfText(text: string): boolean | undefined {
  if (without.test(text)) return false;
  return given.test(text) ? true : undefined;
}

const fatSuppressed =
  /(?<![\p{L}\d])(?:fs|fat[ _-]?(?:sat\p{L}*|sup\p{L}*)|spair|spir|chess|fett(?:ges|sat|unter|supp)\p{L}*|sat(?:uration)? ?(?:de )?(?:la )?gra\p{L}*|supr\p{L}* (?:de )?gras\p{L}*|fs?tse_fs|water|_w|dixon[ _-]?w|proset|we)(?![\p{L}\d])/iu;
export const saysFatSuppressed = (text: string): boolean => fatSuppressed.test(text);
