/** Who may import whom. The house's walls, checked in CI; `docs/flow.md` draws them. */
const inside = (...folders) => folders.map((folder) => `^${folder}`).join('|');

/** A folder under src/ may import only these of our own folders (packages are free unless a rule below says no). */
const mayImport = {
  domain: [],
  kit: ['src/domain/', 'src/kit/'],
  pipeline: ['src/domain/', 'src/kit/', 'src/pipeline/'],
  events: ['src/domain/', 'src/hl7/', 'src/dimse/', 'src/events/'],
  hl7: ['src/domain/', 'src/hl7/'],
  dimse: ['src/domain/', 'src/dimse/'],
  dicom: ['src/domain/', 'src/dicom/'],
  fhir: ['src/domain/', 'src/fhir/'],
  store: ['src/domain/', 'src/store/'],
  http: ['src/domain/', 'src/http/'],
  'viewer-api': ['src/domain/', 'src/viewer-api/'],
  evaluation: ['src/domain/', 'src/evaluation/'],
  inference: ['src/domain/', 'src/kit/', 'src/inference/'],
  cds: ['src/domain/', 'src/kit/', 'src/cds/'],
  outputs: ['src/domain/', 'src/fhir/', 'src/dicom/', 'src/outputs/'],
};

const own = '^(src|hooks|models|smart-app|sandbox|training|test|bench)/';

module.exports = {
  forbidden: [
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
    // `fhir/r4.js` exists for the type checker only: DefinitelyTyped describes FHIR without a package behind it.
    {
      name: 'resolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: '^(virtual:|fhir/r4\\.|@medplum/fhirtypes$)' },
    },
    ...Object.entries(mayImport).map(([folder, allowed]) => ({
      name: `${folder}-imports`,
      severity: 'error',
      from: { path: `^src/${folder}/` },
      to: { path: own, pathNot: inside(...(allowed.length > 0 ? allowed : [`src/${folder}/`])) },
    })),
    {
      name: 'domain-imports-no-package',
      comment: 'The domain knows only the language and its hash function.',
      severity: 'error',
      from: { path: '^src/domain/' },
      to: { pathNot: ['^src/domain/', '^(node:)?crypto$'] },
    },
    {
      name: 'pipeline-is-pure',
      comment: 'No HTTP, FHIR, DICOM or ONNX in the pipeline: it speaks to ports.',
      severity: 'error',
      from: { path: '^src/pipeline/' },
      to: { dependencyTypes: ['npm', 'npm-dev'] },
    },
    {
      name: 'packs-and-hooks-use-the-kit',
      severity: 'error',
      from: { path: '^(hooks|models)/' },
      to: { path: own, pathNot: ['^src/kit/', '^(hooks|models)/'] },
    },
    {
      name: 'smart-app-sees-the-contract-only',
      severity: 'error',
      from: { path: '^smart-app/' },
      to: { path: own, pathNot: ['^smart-app/', '^src/viewer-api/contract\\.ts$'] },
    },
    {
      name: 'sandbox-is-another-house',
      comment: 'The demo hospital plays the EHR and the PACS; it may share only the reading of DICOM files.',
      severity: 'error',
      from: { path: '^sandbox/' },
      to: { path: own, pathNot: ['^sandbox/', '^src/dicom/', '^src/domain/'] },
    },
    {
      name: 'only-the-entrances-import-the-app',
      severity: 'error',
      from: { path: own, pathNot: ['^src/main\\.ts$', '^src/cli/', '^test/', '^bench/'] },
      to: { path: '^src/app\\.ts$' },
    },
    {
      name: 'nothing-imports-training',
      severity: 'error',
      from: {},
      to: { path: '^training/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(smart-app/dist|\\.wetread)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    parser: 'swc',
    enhancedResolveOptions: {
      extensions: ['.ts', '.mjs', '.js', '.json'],
      // Packages with `exports` only (vite, Cornerstone, the codecs) are not found without this.
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
    },
  },
};
