// What an application says of itself: shown again as it was given, and used for nothing yet. The name that it has for the
// operator is another: one that were unique among all would tell an application of the others.
// Stored in applications.profile under its wire names.

export interface Branding {
  readonly icon_url?: string;
  readonly website_url?: string;
  readonly description?: string;
}

export interface Profile {
  /** Null: it is called as the operator calls it. */
  readonly name: string | null;
  readonly branding: Branding;
  /** How the hosted login page is to look; JSON values only. Null: nothing was ever said. */
  readonly hostedAuthentication: Readonly<Record<string, unknown>> | null;
}

/** Each member that is given replaces the old one as a whole. */
export type ProfilePatch = Partial<Profile>;

const BRANDING = ['icon_url', 'website_url', 'description'] as const satisfies readonly (keyof Branding)[];

/** What the database holds. What this version does not know counts as not said. */
export function storedProfile(stored: unknown): Profile {
  const { branding, hosted_authentication: hosted } = isObject(stored) ? stored : {};
  const known = BRANDING.map((name) => [name, isObject(branding) ? branding[name] : undefined] as const);
  const name = isObject(branding) ? branding.name : undefined;
  return {
    name: typeof name === 'string' ? name : null,
    branding: Object.fromEntries(known.filter(([, value]) => typeof value === 'string')),
    hostedAuthentication: isObject(hosted) ? hosted : null,
  };
}

/** As `storedProfile` reads it; JSON text, because a driver's own JSON type knows no unknown values. */
export function profileToStore({ name, branding, hostedAuthentication }: Profile): string {
  return JSON.stringify({
    branding: { ...(name === null ? {} : { name }), ...branding },
    ...(hostedAuthentication === null ? {} : { hosted_authentication: hostedAuthentication }),
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
