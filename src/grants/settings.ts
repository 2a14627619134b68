// An application's tracking settings (D25). Stored in applications.settings under their wire names, only where they
// differ from the default: other rooms read single ones in SQL with the default as their fallback.

export type LinkScheme = 'https' | 'http' | 'mailto' | 'tel';
export type DeletedGrantLinks = 'stop' | 'forward';
export type RetrySchedule = 'default' | 'nylas';
/** What classify says of a hit. */
export type HitClass = 'human' | 'proxy' | 'machine' | 'scanner' | 'sender' | 'unknown';

export interface TrackingSettings {
  readonly linkSchemes: readonly LinkScheme[];
  /** Query parameters that mark a link as secret, besides the published list; compared without case. */
  readonly secretParameters: readonly string[];
  /** Within so many seconds of a counted open, further loads of that pixel do not count; 0 counts each. */
  readonly openDedupeSeconds: number;
  readonly deletedGrantLinks: DeletedGrantLinks;
  readonly notifySelfReplies: boolean;
  readonly notifyAutoReplies: boolean;
  /** Every send tells its outcome, as Nylas's "Synchronous send webhooks" do; else only those that no answer told. */
  readonly notifySends: boolean;
  readonly retrySchedule: RetrySchedule;
  readonly replyWatchDays: number;
  /** How long a click waits for the rest of a scanner's sweep before it is notified. */
  readonly clickSettleMs: number;
  /** Per message and trigger; above it pending notifications are coalesced. */
  readonly maxNotificationsPerMinute: number;
  /** Null: hits of every class are notified. */
  readonly notifyClasses: readonly HitClass[] | null;
}

export const DEFAULT_SETTINGS: TrackingSettings = {
  linkSchemes: ['https', 'mailto', 'tel'],
  secretParameters: [],
  openDedupeSeconds: 0,
  deletedGrantLinks: 'stop',
  notifySelfReplies: false,
  notifyAutoReplies: false,
  notifySends: false,
  retrySchedule: 'default',
  replyWatchDays: 90,
  clickSettleMs: 0,
  maxNotificationsPerMinute: 600,
  notifyClasses: null,
};

export type SettingsPatch = { readonly [Name in keyof TrackingSettings]?: TrackingSettings[Name] };

/** Settings in their wire names: JSON values only. */
export type WireSettings = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

/** What is wrong with a patch, ready to be told: every sentence names its key. */
export class SettingsProblem extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('; '));
    this.name = 'SettingsProblem';
    this.problems = problems;
  }
}

/** Reads a patch in wire names, whole or not at all; throws a SettingsProblem that lists everything wrong with it. */
export function parseSettings(wire: unknown): SettingsPatch {
  if (!isObject(wire)) throw new SettingsProblem(['tracking_settings must be an object']);
  const problems: string[] = [];
  let patch: SettingsPatch = {};
  for (const [name, value] of Object.entries(wire)) {
    const setting = SETTINGS.find((known) => known.wire === name);
    const read = setting?.read(value);
    if (read === undefined) problems.push(`tracking_settings.${name} is not a known setting`);
    else if (read.ok) patch = { ...patch, ...read.patch };
    else problems.push(`tracking_settings.${name} must be ${read.expected}`);
  }
  if (problems.length > 0) throw new SettingsProblem(problems);
  return patch;
}

/** What the database holds, over the defaults. Keys and values that this version does not know count as not set. */
export function storedSettings(stored: unknown): TrackingSettings {
  const known = isObject(stored) ? stored : {};
  let settings = DEFAULT_SETTINGS;
  for (const setting of SETTINGS) {
    const read = Object.hasOwn(known, setting.wire) ? setting.read(known[setting.wire]) : undefined;
    if (read?.ok) settings = { ...settings, ...read.patch };
  }
  return settings;
}

/** Our own addition to the settings of D25: shown where it is on, so that clients who know those alone see those alone. */
const ADDED: ReadonlySet<keyof TrackingSettings> = new Set(['notifySends']);

/** The settings in their wire names and order. */
export function settingsToWire(settings: TrackingSettings): WireSettings {
  const shown = SETTINGS.filter(({ name }) => !ADDED.has(name) || settings[name] !== DEFAULT_SETTINGS[name]);
  return Object.fromEntries(shown.map((setting) => [setting.wire, settings[setting.name]]));
}

/** The settings that differ from the default, in their wire names: what is stored. */
export function settingsToStore(settings: TrackingSettings): WireSettings {
  const changed = SETTINGS.filter(
    ({ name }) => JSON.stringify(settings[name]) !== JSON.stringify(DEFAULT_SETTINGS[name]),
  );
  return Object.fromEntries(changed.map((setting) => [setting.wire, settings[setting.name]]));
}

/** The value meant by `name=text` on a command line, still to be checked by `parseSettings`. Lists are written `a,b`. */
export function settingFromText(name: string, text: string): unknown {
  const setting = SETTINGS.find((known) => known.wire === name);
  const isList = setting !== undefined && Array.isArray(DEFAULT_SETTINGS[setting.name] ?? []);
  if (isList && !text.startsWith('[') && text !== 'null') {
    return text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
  }
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function settingNames(): readonly string[] {
  return SETTINGS.map(({ wire }) => wire);
}

type Read = { readonly ok: true; readonly patch: SettingsPatch } | { readonly ok: false; readonly expected: string };
type Check<T> = { readonly expected: string; readonly parse: (value: unknown) => T | undefined };

interface Setting {
  readonly name: keyof TrackingSettings;
  readonly wire: string;
  readonly read: (value: unknown) => Read;
}

const LINK_SCHEMES = ['https', 'http', 'mailto', 'tel'] as const satisfies readonly LinkScheme[];
const HIT_CLASSES = [
  'human',
  'proxy',
  'machine',
  'scanner',
  'sender',
  'unknown',
] as const satisfies readonly HitClass[];
const MAX_SECRET_PARAMETERS = 100;
const PARAMETER_NAME = /^[\w.~$[\]-]{1,64}$/;

const SETTINGS: readonly Setting[] = [
  setting('linkSchemes', 'link_schemes', listOf(LINK_SCHEMES)),
  setting('secretParameters', 'secret_parameters', {
    expected: `a list of at most ${MAX_SECRET_PARAMETERS} parameter names of letters, digits and _ - . ~ $ [ ]`,
    parse: (value) => list(value, (item) => (PARAMETER_NAME.test(item) ? item : undefined), MAX_SECRET_PARAMETERS),
  }),
  setting('openDedupeSeconds', 'open_dedupe_seconds', integer(0, 86_400)),
  setting('deletedGrantLinks', 'deleted_grant_links', oneOf(['stop', 'forward'])),
  setting('notifySelfReplies', 'notify_self_replies', boolean()),
  setting('notifyAutoReplies', 'notify_auto_replies', boolean()),
  setting('notifySends', 'notify_sends', boolean()),
  setting('retrySchedule', 'retry_schedule', oneOf(['default', 'nylas'])),
  setting('replyWatchDays', 'reply_watch_days', integer(1, 3650)),
  setting('clickSettleMs', 'click_settle_ms', integer(0, 60_000)),
  setting('maxNotificationsPerMinute', 'max_notifications_per_minute', integer(1, 1_000_000)),
  setting('notifyClasses', 'notify_classes', nullOr(listOf(HIT_CLASSES))),
];

function setting<Name extends keyof TrackingSettings>(
  name: Name,
  wire: string,
  check: Check<TrackingSettings[Name]>,
): Setting {
  return {
    name,
    wire,
    read(value) {
      const parsed = check.parse(value);
      return parsed === undefined ? { ok: false, expected: check.expected } : { ok: true, patch: { [name]: parsed } };
    },
  };
}

function boolean(): Check<boolean> {
  return { expected: 'true or false', parse: (value) => (typeof value === 'boolean' ? value : undefined) };
}

function integer(min: number, max: number): Check<number> {
  return {
    expected: `a whole number from ${min} to ${max}`,
    parse: (value) =>
      typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max ? value : undefined,
  };
}

function oneOf<T extends string>(allowed: readonly T[]): Check<T> {
  return {
    expected: `one of ${allowed.map((item) => `"${item}"`).join(', ')}`,
    parse: (value) => allowed.find((item) => item === value),
  };
}

function listOf<T extends string>(allowed: readonly T[]): Check<readonly T[]> {
  return {
    expected: `a list out of ${allowed.map((item) => `"${item}"`).join(', ')}`,
    parse: (value) => list(value, (text) => allowed.find((item) => item === text), allowed.length),
  };
}

function nullOr<T>(check: Check<T>): Check<T | null> {
  return {
    expected: `null or ${check.expected}`,
    parse: (value) => (value === null ? null : check.parse(value)),
  };
}

/** The items without duplicates, or undefined where one is not allowed or too many are left. */
function list<T extends string>(
  value: unknown,
  parse: (item: string) => T | undefined,
  most: number,
): readonly T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const items = new Set<T>();
  for (const item of value) {
    const parsed = typeof item === 'string' ? parse(item) : undefined;
    if (parsed === undefined) return undefined;
    items.add(parsed);
  }
  return items.size > most ? undefined : [...items];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
