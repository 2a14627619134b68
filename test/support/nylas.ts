import sdk from 'nylas';

// The SDK's type files are read as CommonJS, where the class is `.default` of what Node really hands out as the class.
const Nylas: typeof sdk.default = Reflect.get(Object({ sdk }), 'sdk');

/** Nylas's own Node SDK, unmodified, against another address. */
export function nylas(options: { readonly apiKey: string; readonly apiUri: string }): InstanceType<typeof Nylas> {
  return new Nylas(options);
}
