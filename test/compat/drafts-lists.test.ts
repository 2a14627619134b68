// Nylas's own Node SDK, unmodified, lists drafts, filters them and turns their pages.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type CompatGround, type Sdk, startCompatGround } from '../support/compat-ground.ts';
import { KIM, MAIL } from '../support/draft-calls.ts';
import { sdkError } from '../support/sdk-error.ts';

let ground: CompatGround;
let sdk: Sdk;
before(async () => {
  ground = await startCompatGround();
  ({ sdk } = ground);
});
after(async () => {
  await ground.close();
});

describe('lists of drafts', () => {
  let identifier: string;
  const ids = new Map<string, string>();
  const names = (list: readonly { readonly id: string }[]): string[] =>
    list.map(({ id }) => [...ids].find(([, known]) => known === id)?.[0] ?? id).sort();
  const filtered = async (queryParams: object): Promise<string[]> =>
    names((await sdk.drafts.list({ identifier, queryParams })).data);

  before(async () => {
    identifier = await ground.practice('lists@practice.test');
    const file = { filename: 'a.txt', contentType: 'text/plain', content: 'YQ==', size: 1 };
    const drafts: Record<string, object> = {
      a: { to: [KIM], subject: 'Plan alpha', starred: true },
      b: { to: [{ email: 'lee@example.com' }], cc: [KIM], subject: 'Plan beta', attachments: [file] },
      c: { to: [{ email: 'max@example.com' }], bcc: [{ email: 'Kim@Example.com' }], subject: 'Other' },
      d: { to: [{ email: 'lee@example.com' }], subject: 'Other one', metadata: { key1: 'on hold' } },
      e: { to: [{ email: 'max@example.com' }], cc: [{ email: 'lee@example.com' }], subject: '' },
    };
    for (const [name, draft] of Object.entries(drafts)) {
      const { data } = await sdk.drafts.create({ identifier, requestBody: { ...MAIL, ...draft } });
      ids.set(name, data.id);
    }
  });

  it('have all of the grant, newest first', async () => {
    const { data, nextCursor } = await sdk.drafts.list({ identifier });
    assert.deepEqual(
      data.map(({ id }) => id),
      [...ids.values()].reverse(),
    );
    assert.ok(!nextCursor);
  });

  const cases: readonly (readonly [query: object, expected: readonly string[]])[] = [
    [{ subject: 'Plan' }, ['a', 'b']],
    [{ subject: 'Plan beta' }, ['b']],
    [{ anyEmail: ['kim@example.com'] }, ['a', 'b', 'c']],
    [{ anyEmail: ['kim@example.com', 'LEE@example.com'] }, ['a', 'b', 'c', 'd', 'e']],
    [{ anyEmail: 'kim@example.com,nobody@example.com' }, ['a', 'b', 'c']],
    [{ to: ['lee@example.com'] }, ['b', 'd']],
    [{ to: ['lee@example.com', 'kim@example.com'] }, ['a', 'b', 'd']],
    [{ cc: ['lee@example.com'] }, ['e']],
    [{ bcc: ['kim@example.com'] }, ['c']],
    [{ to: ['lee@example.com'], cc: ['kim@example.com'] }, ['b']],
    [{ starred: true }, ['a']],
    [{ starred: false }, ['b', 'c', 'd', 'e']],
    [{ hasAttachment: true }, ['b']],
    [{ hasAttachment: false }, ['a', 'c', 'd', 'e']],
    [{ unread: false }, ['a', 'b', 'c', 'd', 'e']],
    [{ metadataPair: { key1: 'on hold' } }, ['d']],
    [{ metadataPair: { key1: 'other' } }, []],
    [{ anyEmail: ['nobody@example.com'] }, []],
  ];
  for (const [query, expected] of cases) {
    it(`by ${JSON.stringify(query)}`, async () => {
      assert.deepEqual(await filtered(query), expected);
    });
  }

  it('by their thread', async () => {
    const { data } = await sdk.drafts.find({ identifier, draftId: ids.get('c') ?? '' });
    assert.deepEqual(await filtered({ threadId: data.threadId }), ['c']);
  });

  it('have the members that `select` asks for', async () => {
    const { data } = await sdk.drafts.list({ identifier, queryParams: { select: 'id,subject', subject: 'alpha' } });
    assert.deepEqual([data[0]?.subject, data[0]?.body, data[0]?.grantId], ['Plan alpha', undefined, identifier]);
  });

  it('come page by page, however large a page is', async () => {
    for (const limit of [1, 2, 3, 4, 5, 200]) {
      const pages: string[][] = [];
      for await (const page of sdk.drafts.list({ identifier, queryParams: { limit } })) {
        assert.match(page.requestId, /^[0-9a-f-]{36}$/);
        pages.push(page.data.map(({ id }) => id));
      }
      assert.deepEqual(pages.flat(), [...ids.values()].reverse(), `limit ${limit}`);
      assert.ok(pages.every((page) => page.length <= limit));
      assert.equal(pages.filter((page) => page.length > 0).length, Math.ceil(5 / limit));
    }
  });

  it('go on from a cursor, under the same filter', async () => {
    const queryParams = { limit: 2, to: ['max@example.com', 'lee@example.com'] };
    const first = await sdk.drafts.list({ identifier, queryParams });
    assert.deepEqual(names(first.data), ['d', 'e']);
    assert.ok(first.nextCursor);
    const second = await sdk.drafts.list({ identifier, queryParams: { ...queryParams, pageToken: first.nextCursor } });
    assert.deepEqual(names(second.data), ['b', 'c']);
    assert.ok(!second.nextCursor);
  });

  it('refuse what they cannot do, by its name', async () => {
    for (const [query, name] of [
      [{ limit: 201 }, 'limit'],
      [{ limit: -1 }, 'limit'],
      [{ pageToken: 'no cursor of ours' }, 'page_token'],
      [{ starred: 'perhaps' }, 'starred'],
    ] as const) {
      const error = await sdkError(sdk.drafts.list({ identifier, queryParams: Object(query) }));
      assert.deepEqual([error.statusCode, error.type], [400, 'api.invalid_request_error'], error.message);
      assert.match(error.message, new RegExp(`^${name} `));
    }
  });
});
