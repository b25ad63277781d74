/** Numbers for people have the true minus sign: a hyphen parts words, and a screen reader may leave it out. What programs read keeps the hyphen. */
export const trueMinus = (text: string): string => text.replaceAll(/(?<![\w.)\]-])-(?=\.?\d)/g, '\u2212');
