import { promises as dns } from 'node:dns';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';

/** Host names to addresses, without the thread pool: with three dead names in `dns.lookup` a live one waited 10 s. */
export interface Names {
  /** Every address known for the name, never none. Rejects with {@link NameError}. */
  lookUp(name: string): Promise<readonly string[]>;
}

export class NameError extends Error {
  override name = 'NameError';
}

export interface Answer {
  readonly address: string;
  /** Seconds. */
  readonly ttl: number;
}

export interface Resolver {
  resolve4(name: string, options: { readonly ttl: true }): Promise<readonly Answer[]>;
  resolve6(name: string, options: { readonly ttl: true }): Promise<readonly Answer[]>;
}

export interface NamesDeps {
  /** A new one for each look-up, so that a changed resolv.conf is seen. */
  readonly resolver?: () => Resolver;
  /** The text of the hosts file. */
  readonly hosts?: () => Promise<string>;
  readonly now?: () => number;
}

const TRY_MS = 1500;
const TRIES = 2;
const SECOND_FAMILY_MS = 50; // RFC 8305 section 3: resolution delay
const CACHED = 2000;
const LONGEST_MS = 60_000; // a moved receiver is found again within a minute
const SHORTEST_MS = 5_000;
const FAILED_MS = 3_000;
const HOSTS_MS = 5_000;
const HOSTS_FILE = process.platform === 'win32' ? 'C:\\Windows\\System32\\drivers\\etc\\hosts' : '/etc/hosts';

interface Entry {
  readonly until: number;
  readonly addresses: Promise<readonly string[]>;
}

export function makeNames(deps: NamesDeps = {}): Names {
  const now = deps.now ?? Date.now;
  const resolver = deps.resolver ?? ((): Resolver => new dns.Resolver({ timeout: TRY_MS, tries: TRIES }));
  const readHosts = deps.hosts ?? ((): Promise<string> => readFile(HOSTS_FILE, 'utf8').catch(() => ''));
  const cache = new Map<string, Entry>();
  let hosts: { readonly until: number; readonly table: Promise<Map<string, string[]>> } | null = null;

  const fromHosts = async (name: string): Promise<readonly string[]> => {
    if (hosts === null || hosts.until <= now()) {
      hosts = { until: now() + HOSTS_MS, table: readHosts().then(parseHosts) };
    }
    return (await hosts.table).get(name) ?? (isLocalhost(name) ? ['127.0.0.1', '::1'] : []);
  };

  const remember = (name: string, ms: number, addresses: Promise<readonly string[]>): void => {
    cache.delete(name);
    if (cache.size >= CACHED) cache.clear();
    cache.set(name, { until: now() + ms, addresses });
  };

  const ask = async (name: string): Promise<readonly string[]> => {
    const local = await fromHosts(name);
    if (local.length > 0) return local;
    try {
      const answers = await bothFamilies(resolver(), name);
      const ttl = Math.min(...answers.map((answer) => answer.ttl)) * 1000;
      const addresses = answers.map((answer) => answer.address);
      remember(name, Math.min(Math.max(ttl, SHORTEST_MS), LONGEST_MS), Promise.resolve(addresses));
      return addresses;
    } catch (error) {
      const cause = error instanceof Error && 'code' in error ? String(error.code) : 'no answer';
      throw new NameError(`${name} could not be resolved (${cause})`, { cause: error });
    }
  };

  return {
    lookUp(written) {
      const name = written.toLowerCase().replace(/\.$/, '');
      const known = cache.get(name);
      if (known !== undefined && known.until > now()) return known.addresses;
      const addresses = ask(name);
      remember(name, FAILED_MS, addresses); // also joins those who ask while the answer is under way
      return addresses;
    },
  };
}

/**
 * Once IPv4 has answered, IPv6 gets a moment more: a resolver that drops AAAA must not slow us. Never the other way
 * round, because many machines have no IPv6 route.
 */
async function bothFamilies(resolver: Resolver, name: string): Promise<readonly Answer[]> {
  const v6 = resolver.resolve6(name, { ttl: true });
  const v6OrNone = v6.catch((): readonly Answer[] => []);
  let v4: readonly Answer[];
  try {
    v4 = await resolver.resolve4(name, { ttl: true });
  } catch (error) {
    const answers = await v6OrNone;
    if (answers.length === 0) throw error;
    return answers;
  }
  let timer: NodeJS.Timeout | undefined;
  const enough = new Promise<readonly Answer[]>((resolve) => {
    timer = setTimeout(() => resolve([]), SECOND_FAMILY_MS);
  });
  const answers = [...v4, ...(await Promise.race([v6OrNone, enough]))];
  clearTimeout(timer);
  if (answers.length === 0) throw new Error('no addresses');
  return answers;
}

function parseHosts(text: string): Map<string, string[]> {
  const table = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address, ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (address === undefined || isIP(address) === 0) continue;
    for (const name of names) {
      const key = name.toLowerCase();
      table.set(key, [...(table.get(key) ?? []), address]);
    }
  }
  return table;
}

/** RFC 6761 section 6.3: never asked of a name server. */
function isLocalhost(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost');
}
