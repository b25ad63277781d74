/** Who is registered at this hospital: the service as a backend, and its app. Both prove themselves with the service's published keys. */

export type Client = {
  readonly id: string;
  readonly name: string;
  readonly grant: 'client_credentials' | 'authorization_code';
  readonly jwksUrl: string;
  readonly redirectUris: readonly string[];
  /** Where the EHR opens the app. */
  readonly launchUrl?: string;
  /** Scopes it may have at most; a `*` stands for every resource type. */
  readonly scopes: readonly string[];
};

export function registeredClients(wetreadUrl: string): readonly Client[] {
  const jwksUrl = `${wetreadUrl}/.well-known/jwks.json`;
  return [
    {
      id: 'wetread',
      name: 'Wetread (backend)',
      grant: 'client_credentials',
      jwksUrl,
      redirectUris: [],
      scopes: ['system/*.cruds'],
    },
    {
      id: 'wetread-app',
      name: 'Wetread viewer',
      grant: 'authorization_code',
      jwksUrl,
      redirectUris: [`${wetreadUrl}/app/callback`],
      launchUrl: `${wetreadUrl}/app/launch`,
      scopes: ['launch', 'openid', 'fhirUser', 'profile', 'patient/*.rs', 'user/*.rs'],
    },
  ];
}
