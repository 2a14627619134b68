import sdk from 'nylas';

// The SDK's type files are read as CommonJS, where the class is `.default` of what Node really hands out as the class.
const Nylas: typeof sdk.default = Reflect.get({ sdk }, 'sdk');

export type NylasClient = InstanceType<typeof Nylas>;

/** Nylas's own Node SDK, unmodified, against another address. */
export function nylasClient(options: { readonly apiKey: string; readonly apiUri: string }): NylasClient {
  return new Nylas(options);
}
