/** The manifest of a model pack as JSON Schema for editors, and as a page for people; both made from the zod schema. */
import { z } from 'zod';
import { borrowed } from '../src/kit/network-manifest.ts';
import { packManifest } from '../src/kit/pack-manifest.ts';
import { preprocessStep } from '../src/kit/preprocess-step.ts';

type Schema = {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly prefixItems?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly additionalProperties?: Schema | boolean;
  readonly minimum?: number;
  readonly maximum?: number;
};

const schemaOf = (schema: z.ZodType): Schema => z.toJSONSchema(schema, { io: 'input' }) as Schema;

type Referring = { readonly $ref?: string };
const target = ({ $defs = {} }: z.core.JSONSchema.JSONSchema, from: Referring): Referring =>
  from.$ref === undefined ? from : target({ $defs }, $defs[from.$ref.replace('#/$defs/', '')] as Referring);

export function packSchema(): string {
  const schema = z.toJSONSchema(packManifest, { io: 'input', reused: 'ref' });
  // What is borrowed stands in the file, and is replaced by the lender's description before the rest is checked.
  const networks = target(schema, schema.properties!['networks'] as Referring) as { additionalProperties: object };
  const { $schema: _, ...from } = z.toJSONSchema(borrowed, { io: 'input' });
  networks.additionalProperties = { anyOf: [networks.additionalProperties, from] };
  const forms = [{ required: ['weights', 'input', 'outputs'] }, { required: ['networks'] }];
  return `${JSON.stringify({ ...schema, title: 'Manifest of a Wetread model pack', anyOf: forms }, null, 1)}\n`;
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const code = (value: unknown): string => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;

function kindOf(schema: Schema): string {
  if (schema.const !== undefined) return code(schema.const);
  if (schema.enum !== undefined) return schema.enum.map(code).join(', ');
  const options = schema.oneOf ?? schema.anyOf;
  if (options !== undefined) {
    if (options.every((one) => one.properties?.['step'] !== undefined)) return 'the steps below';
    const kinds = options.map((one) =>
      one.properties === undefined ? kindOf(one) : `{${Object.keys(one.properties).join(', ')}}`,
    );
    return [...new Set(kinds)].join(' or ');
  }
  if (schema.prefixItems !== undefined) return `[${schema.prefixItems.map(kindOf).join(', ')}]`;
  if (schema.type === 'array') return `list of ${kindOf(schema.items ?? {})}`;
  if (schema.type === 'object')
    return schema.properties === undefined ? 'by name' : `{${Object.keys(schema.properties).join(', ')}}`;
  const bounds = [
    schema.minimum !== undefined && schema.minimum > -1e15 ? `from ${schema.minimum}` : '',
    schema.maximum !== undefined && schema.maximum < 1e15 ? `to ${schema.maximum}` : '',
  ].filter((one) => one !== '');
  const type =
    schema.type === 'integer' ? 'whole number' : schema.type === 'string' ? 'text' : String(schema.type ?? 'anything');
  return [type, ...bounds].join(' ');
}

function table(schema: Schema, skip: readonly string[] = []): string[] {
  const rows = Object.entries(schema.properties ?? {})
    .filter(([name]) => !skip.includes(name))
    .map(([name, field]) => {
      const need =
        schema.required?.includes(name) === true ? 'needed' : field.default === undefined ? '' : code(field.default);
      return `| \`${name}\` | ${cell(kindOf(field))} | ${need} | ${cell(field.description ?? '')} |`;
    });
  return rows.length === 0 ? [] : ['', '| field | what | default | |', '|---|---|---|---|', ...rows];
}

/** A choice of objects that one field tells apart. */
function choices(schema: Schema, by: string): string[] {
  return (schema.oneOf ?? schema.anyOf ?? []).flatMap((one) => [
    '',
    `**\`${String(one.properties?.[by]?.const)}\`** ${one.description ?? ''}`,
    ...table(one, [by]),
  ]);
}

export function manifestPage(): string {
  const manifest = schemaOf(packManifest);
  const { networks, explanation } = manifest.properties!;
  const network = networks!.additionalProperties as Schema;
  const of = (name: string): Schema => network.properties![name]!;
  const borrowing = schemaOf(borrowed);
  const output = of('outputs').additionalProperties as Schema;
  return [
    '# The manifest of a model pack',
    'Every field of `models/<name>/manifest.json`, made from `src/kit/pack-manifest.ts`; `models/pack.schema.json` is the same for editors ("$schema": "../pack.schema.json"). [add-a-model.md](add-a-model.md) walks through one.',
    '',
    '## The pack',
    'One network: `weights`, `input` (a tensor as below, with its name as `tensor`) and `outputs`. Several: `networks`.',
    ...table(manifest, ['$schema']),
    '',
    '## selection',
    manifest.properties!['selection']!.description ?? '',
    ...table(manifest.properties!['selection']!),
    '',
    '## A network',
    ...table(network),
    '',
    'Or, instead of all that:',
    ...table(borrowing),
    '',
    '### from',
    `${borrowing.description} Its own code may be imported too: \`import { … } from '../<pack>/….ts'\`.`,
    ...table(borrowing.properties!['from']!),
    '',
    '### weights',
    ...table(of('weights')),
    '',
    '### An input',
    ...table(of('inputs').additionalProperties as Schema),
    '',
    '### An output',
    ...table(output),
    '',
    '### calibration',
    ...choices(output.properties!['calibration']!, 'method'),
    '',
    '### hardware',
    ...table(of('hardware')),
    '',
    '## Steps from the picture to the tensor',
    'In the order of the list. Films are grey values from 0 (black) to 1 (white) before the first step.',
    ...choices(schemaOf(preprocessStep), 'step'),
    '',
    '## explanation',
    ...choices(explanation!.additionalProperties as Schema, 'kind'),
    '',
  ].join('\n');
}
