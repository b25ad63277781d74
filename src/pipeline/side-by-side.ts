/** Two tasks at once, of which the first has the say: what it throws is thrown, and only when neither runs any more. */
export async function sideBySide<First, Beside>(
  first: (signal: AbortSignal) => Promise<First>,
  beside: (signal: AbortSignal) => Promise<Beside>,
  signal: AbortSignal,
): Promise<[First, Beside]> {
  const stop = new AbortController();
  const companion = beside(AbortSignal.any([signal, stop.signal]));
  // It may fail while the first still runs, whose end is waited for in any case.
  companion.catch(() => undefined);
  try {
    return [await first(signal), await companion];
  } catch (error) {
    stop.abort(error);
    await companion.catch(() => undefined);
    throw error;
  }
}
