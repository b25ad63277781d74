/** Comma-separated tables as RFC 4180 writes them: quotes around fields, doubled quotes inside, any line end. */

export type CsvRow = Readonly<Record<string, string>> & { readonly [line]: number };

/** Where a row began in the file, for messages. */
export const line = Symbol('line');

export function readCsv(text: string): { readonly columns: readonly string[]; readonly rows: readonly CsvRow[] } {
  const [header, ...records] = recordsOf(text.replace(/^\uFEFF/, ''));
  if (header === undefined) return { columns: [], rows: [] };
  const columns = header.fields.map((name) => name.trim());
  const rows = records
    // An empty line at the end, or between, is nobody's row.
    .filter(({ fields }) => fields.length > 1 || fields[0] !== '')
    .map(({ fields, at }) => {
      if (fields.length !== columns.length)
        throw new SyntaxError(
          `line ${at}: has ${fields.length} ${fields.length === 1 ? 'field' : 'fields'}, the header has ${columns.length}`,
        );
      const named = Object.fromEntries(columns.map((column, index) => [column, fields[index]!.trim()]));
      return Object.assign(named, { [line]: at }) as CsvRow;
    });
  return { columns, rows };
}

function recordsOf(text: string): { fields: string[]; at: number }[] {
  const records: { fields: string[]; at: number }[] = [];
  let fields: string[] = [];
  let field = '';
  let quoted = false;
  let at = 1;
  let started = 1;
  const endRecord = (): void => {
    records.push({ fields: [...fields, field], at: started });
    [fields, field] = [[], ''];
  };
  for (let index = 0; index < text.length; index += 1) {
    const sign = text[index]!;
    if (sign === '\n') at += 1;
    if (quoted) {
      if (sign !== '"') field += sign;
      else if (text[index + 1] === '"') {
        field += '"';
        index += 1;
      } else quoted = false;
    } else if (sign === '"' && field === '') quoted = true;
    else if (sign === ',') {
      fields.push(field);
      field = '';
    } else if (sign === '\n') {
      endRecord();
      started = at;
    } else if (sign !== '\r') field += sign;
  }
  if (quoted) throw new SyntaxError(`line ${started}: a quote is not closed`);
  if (field !== '' || fields.length > 0) endRecord();
  return records;
}
