// Applications are strictly apart: every route of the server, asked with another application's key for what is not its own.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fromWireId, isUuid, uuidv7, wireId } from '../../src/ids.ts';
import { at } from '../support/service.ts';
import {
  type Answered,
  ASKED_ROUTES,
  type Kind,
  startTwoTenants,
  type Tenant,
  type TwoTenants,
} from '../support/two-tenants.ts';
import { entryOf, FIRST, MAIL, OPEN, ROUTES, slotsOf, type Walk } from './tenancy-routes.ts';

let ground: TwoTenants;

before(async () => {
  ground = await startTwoTenants();
});
after(async () => {
  await ground.close();
});

/** Asks with these names, and otherwise with the asking application's own; a query only where it is named. */
async function ask(route: string, walk: Walk, as: Tenant, names: Readonly<Record<string, string>>): Promise<Answered> {
  const [method = '', pattern = ''] = route.split(' ');
  const { path = [], query = {}, body } = walk;
  const own = (kind: Kind): string => as.names[kind][0] ?? '';
  let step = -1;
  const steps = pattern.replace(/:[a-z_]+/g, () => {
    step += 1;
    const kind = path[step] ?? FIRST;
    return encodeURIComponent(kind === FIRST ? FIRST : (names[`path ${step}`] ?? own(kind)));
  });
  const asked = Object.keys(query).flatMap((name) => {
    const value = names[`query ${name}`];
    return value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`];
  });
  return await ground.ask({
    method,
    path: asked.length === 0 ? steps : `${steps}?${asked.join('&')}`,
    body: body?.((kind) => names[`body ${kind}`] ?? own(kind)),
    key: as.key,
  });
}

/** The same name of something that is not there: of the same form, length and time. */
function siblingOf(name: string): string {
  const other = name
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, (uuid) => {
      const sibling = siblingId(uuid.toLowerCase());
      return uuid === uuid.toUpperCase() ? sibling.toUpperCase() : sibling;
    })
    .replace(/\b(msg|thr|dft|ntf|wh|ch|prm|att)_([0-9a-z]{26})\b/g, (whole, prefix) => {
      const uuid = fromWireId(prefix, whole);
      return uuid === null ? `${prefix}_${'0'.repeat(26)}` : wireId(prefix, siblingId(uuid));
    })
    .replaceAll(ground.owner.marker, 'nobody-7f3')
    .replaceAll(ground.owner.marker.toUpperCase(), 'NOBODY-7F3');
  return other === name ? `${name.slice(0, -1)}~` : other;
}

function siblingId(uuid: string): string {
  assert.ok(isUuid(uuid));
  return `${uuid.slice(0, 14)}${uuidv7().slice(14)}`;
}

/** What an answer says, but for what differs anyway: the names asked for, ids made anew, and times. */
function saidOf({ status, headers, text }: Answered, names: readonly string[]): object {
  const { date: _, 'x-request-id': __, 'content-length': ___, ...told } = headers;
  let said = text;
  for (const name of names) {
    for (const form of [name, encodeURIComponent(name), name.toLowerCase()]) said = said.replaceAll(form, '(name)');
  }
  said = said
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, '(uuid)')
    .replaceAll(/\b[a-z]{2,3}_[0-9a-z]{26}\b/g, '(id)')
    .replaceAll(/\bwhsec_[\w+/=-]+/g, '(secret)')
    .replaceAll(/\b\d{10}\b/g, '(time)');
  return { status, headers: told, said };
}

/** What of the owner's an answer gives away that the question did not say. */
function leaksOf(answered: Answered, names: readonly string[]): readonly string[] {
  const { owner } = ground;
  const given = `${answered.text} ${JSON.stringify(answered.headers)}`;
  const known = [owner.marker, ...Object.values(owner.names).flat()].filter((name) => name.length > 8);
  const asked = names.flatMap((name) => [name, name.toLowerCase(), name.replaceAll(/[<>]/g, '')]);
  return known.filter((name) => given.includes(name) && !asked.some((one) => one.includes(name)));
}

/** Names that the owner's own have, and more that could be thought of. */
function namesOf(kind: Kind): readonly string[] {
  const names = ground.owner.names[kind];
  const [plain = ''] = names;
  return kind === 'grant' ? [...names, `external:${plain}`, `external:${ground.owner.marker}`] : names;
}

function inOrder(): readonly string[] {
  return [...ground.routes].sort((a, b) => rankOf(a) - rankOf(b));
}

/** Reads first, deletions later, and last what ends a whole grant: what a route needs must still be there. */
function rankOf(route: string): number {
  if (route.startsWith('GET ') || route.startsWith('HEAD ')) return 0;
  if (route === 'DELETE /v3/grants/:identifier') return 4;
  if (route.endsWith('/expire')) return 3;
  return route.startsWith('DELETE ') ? 2 : 1;
}

describe('two applications', () => {
  it('are asked about at every route that there is', () => {
    const missing = ground.routes.filter((route) => entryOf(route) === undefined);
    assert.deepEqual(missing, [], 'a new route: say in ROUTES what its path, query and body name');
    const gone = Object.keys(ROUTES).filter((route) => entryOf(route) !== OPEN && !ground.routes.includes(route));
    assert.deepEqual(gone, [], 'these are no routes any more');
  });

  it('are asked about at the routes of every file', () => {
    const folder = fileURLToPath(new URL('../../../src/api/', import.meta.url));
    const found = readdirSync(folder)
      .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
      .flatMap((file) => [
        ...readFileSync(folder + file, 'utf8').matchAll(/^export function (\w+)\(.*\): Routes \{$/gm),
      ])
      .map((match) => match[1] ?? '');
    const byTheServer = ['signInRoutes', 'openApiRoutes'];
    assert.deepEqual(found.sort(), [...ASKED_ROUTES, ...byTheServer].sort(), 'see test/support/two-tenants.ts');
  });

  it('need a key, everywhere', async () => {
    for (const route of ground.routes) {
      const entry = entryOf(route);
      if (entry === OPEN || entry === undefined) continue;
      for (const key of ['', 'ttk_unknown', `${ground.owner.key}x`]) {
        const answered = await ask(route, entry, { ...ground.owner, key }, {});
        assert.equal(answered.status, 401, `${route}: ${answered.text}`);
        if (!route.startsWith('HEAD ')) assert.match(answered.text, /"api\.authentication_error"/, route);
        assert.deepEqual(leaksOf(answered, []), [], route);
      }
    }
  });

  it('learn nothing of each other and change nothing, whatever is named', async () => {
    const { owner, stranger } = ground;
    const rows = await ground.ownersRows();
    for (const route of inOrder()) {
      const walk = entryOf(route);
      if (walk === OPEN || walk === undefined) continue;
      const slots = slotsOf(walk);
      const inPath = slots.filter(({ where }) => where.startsWith('path'));
      if (rankOf(route) === 0 || inPath.length === 0) {
        const answered = await ask(route, walk, stranger, {});
        assert.deepEqual(leaksOf(answered, []), [], `${route}: ${answered.text}`);
      }
      const tries = slots.flatMap(({ where, kind }) => namesOf(kind).map((name) => ({ [where]: name })));
      if (inPath.length > 1) {
        tries.push(Object.fromEntries(inPath.map(({ where, kind }) => [where, owner.names[kind][0] ?? ''])));
      }
      for (const foreign of tries) {
        const nobodys = Object.fromEntries(Object.entries(foreign).map(([where, name]) => [where, siblingOf(name)]));
        const asked = `${route} with ${JSON.stringify(foreign)}`;
        const answered = await ask(route, walk, stranger, foreign);
        const expected = await ask(route, walk, stranger, nobodys);
        assert.deepEqual(saidOf(answered, Object.values(foreign)), saidOf(expected, Object.values(nobodys)), asked);
        assert.deepEqual(leaksOf(answered, Object.values(foreign)), [], `${asked}: ${answered.text}`);
      }
      assert.deepEqual(await ground.ownersRows(), rows, `${route} changed what is not the caller’s`);
    }
  });

  it('keep the grants of one application apart as well', async () => {
    const { owner } = ground;
    const rows = await ground.ownersRows();
    let asked = 0;
    for (const route of inOrder()) {
      const walk = entryOf(route);
      if (walk === OPEN || walk?.path?.[0] !== 'grant' || walk.path[1] === undefined) continue;
      const [, slot] = slotsOf(walk);
      const name = slot === undefined ? '' : (owner.names[slot.kind][0] ?? '');
      const other = { 'path 0': 'sender@practice.test' };
      const answered = await ask(route, walk, owner, { ...other, 'path 1': name });
      const nobodys = siblingOf(name);
      const expected = await ask(route, walk, owner, { ...other, 'path 1': nobodys });
      assert.deepEqual(saidOf(answered, [name]), saidOf(expected, [nobodys]), route);
      assert.equal(answered.status, 404, route);
      asked += 1;
    }
    assert.ok(asked >= 8);
    assert.deepEqual(await ground.ownersRows(), rows);
  });

  it('have each its own mailbox of the same address', async () => {
    const { owner, stranger } = ground;
    const address = '/v3/grants/sender@practice.test';
    const id = async ({ key }: Tenant): Promise<unknown> =>
      at(JSON.parse((await ground.ask({ method: 'GET', path: address, key })).text), 'data.id');
    const [mine, theirs] = [await id(owner), await id(stranger)];
    assert.ok(isUuid(String(mine)) && isUuid(String(theirs)) && mine !== theirs);
    const rows = await ground.ownersRows();
    const sent = await ground.ask({ method: 'POST', path: `${address}/messages/send`, body: MAIL, key: stranger.key });
    assert.equal(at(JSON.parse(sent.text), 'data.grant_id'), theirs);
    const deleted = await ground.ask({ method: 'DELETE', path: address, key: stranger.key });
    assert.equal(deleted.status, 200);
    assert.equal(await id(stranger), undefined);
    assert.equal(await id(owner), mine);
    assert.deepEqual(await ground.ownersRows(), rows);
  });

  it('share no Idempotency-Key, and neither do two grants of one', async () => {
    const { owner, stranger } = ground;
    const send = async (tenant: Tenant, grant: string): Promise<readonly [unknown, unknown]> => {
      const { status, headers, text } = await ground.ask({
        method: 'POST',
        path: `/v3/grants/${grant}/messages/send`,
        body: MAIL,
        key: tenant.key,
        headers: { 'idempotency-key': 'one-key-of-all' },
      });
      assert.equal(status, 200, text);
      return [at(JSON.parse(text), 'data.id'), headers['idempotent-response']];
    };
    const [first, replayed] = await send(owner, owner.names.grant[0] ?? '');
    assert.equal(replayed, undefined);
    const rows = await ground.ownersRows();
    const others = await send(stranger, stranger.names.grant[0] ?? '');
    assert.notEqual(others[0], first);
    assert.equal(others[1], undefined, 'not a replay of what the other was answered');
    assert.deepEqual(await ground.ownersRows(), rows);
    const second = await send(owner, 'sender@practice.test');
    assert.notEqual(second[0], first);
    assert.equal(second[1], undefined);
    assert.deepEqual(await send(owner, owner.names.grant[0] ?? ''), [first, 'true']);
  });

  it('were each asked for what is really there: its owner gets it', async () => {
    const { owner } = ground;
    const before = await ground.ownersRows();
    for (const route of inOrder()) {
      const walk = entryOf(route);
      if (walk === OPEN || walk === undefined) continue;
      const reads = rankOf(route) === 0;
      // Of what a query names, one form is enough, and not every list knows the others.
      const tries = slotsOf(walk).flatMap(({ where, kind }) =>
        owner.names[kind].slice(0, where.startsWith('path') ? undefined : 1).map((name) => ({ [where]: name })),
      );
      for (const names of reads ? [{}, ...tries] : [{}]) {
        const { status, text } = await ask(route, walk, owner, names);
        const isRight = walk.refusedAnyway === undefined ? status < 300 : status === walk.refusedAnyway;
        assert.ok(isRight, `${route} with ${JSON.stringify(names)}: ${status} ${text}`);
      }
    }
    assert.notDeepEqual(await ground.ownersRows(), before, 'its rows are those that are looked at');
  });
});
