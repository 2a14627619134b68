// Rows of calls, each made as every SDK makes it, and what they need to stand on.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { expireGrant, saveGrant } from '../../src/grants/grants.ts';
import { CALLERS, type Caller, callAs } from '../support/sdk-callers.ts';
import type { WholeApi } from '../support/whole-api.ts';
import { breaches } from './breaches.ts';
import type { Members } from './members.ts';

export interface Row {
  readonly name: string;
  readonly method: string;
  /** Made anew for every caller, so that each may delete what it names. */
  readonly path: (api: WholeApi, caller: Caller) => string | Promise<string>;
  readonly body?: (api: WholeApi) => object;
  readonly status: number;
  readonly members: Members;
  /** Instead of the application's. */
  readonly key?: () => string;
}

export function ask(title: string, api: () => WholeApi, rows: readonly Row[]): void {
  describe(title, () => {
    for (const row of rows) {
      for (const caller of CALLERS) {
        it(`${row.name}, asked as ${caller.name} asks`, async () => {
          const response = await callAs(caller, api().url, {
            method: row.method,
            path: await row.path(api(), caller),
            ...(row.body && { body: row.body(api()) }),
            key: row.key?.() ?? api().key,
          });
          const { status, headers } = response;
          const text = await response.text();
          assert.equal(status, row.status, text);
          assert.deepEqual(breaches({ status, headers, text }, row.members), [], text);
        });
      }
    }
  });
}

let count = 0;

/** A number of its own. */
export function next(): number {
  count += 1;
  return count;
}

/** The id of a new webhook. */
export async function hook(api: WholeApi): Promise<string> {
  const response = await fetch(`${api.url}/v3/webhooks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${api.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ webhook_url: `${api.receiver.origin}/${next()}`, trigger_types: ['message.opened'] }),
  });
  const { data } = JSON.parse(await response.text());
  return data.id;
}

/** The address of a new IMAP grant without credentials. */
export async function mailbox(api: WholeApi): Promise<string> {
  const email = `mailbox+${next()}@example.com`;
  const settings = { imap_host: 'imap.example.com', imap_port: 993 };
  await saveGrant(api, api.grant.app, { provider: 'imap', email, name: 'A Name', settings });
  return email;
}

/** The address of a new grant that has expired. */
export async function expired(api: WholeApi): Promise<string> {
  const { grant } = await saveGrant(api, api.grant.app, { provider: 'imap', email: `expired${next()}@example.com` });
  assert.ok(await expireGrant(api.sql, api.grant.app, grant.id));
  return grant.email;
}

export const PRACTICE = 'sender@practice.test';
export const MAIL = { to: [{ email: 'kim@example.com' }], subject: 'Hello', body: '<p>Hello</p>' };

/** In Node's and Java's paths an address is percent-encoded, in Python's and Ruby's raw. */
export function sendFrom(email: string | ((api: WholeApi) => Promise<string>), query = ''): Row['path'] {
  return async (api, caller) =>
    `/v3/grants/${caller.segment(typeof email === 'string' ? email : await email(api))}/messages/send${query}`;
}

/** Sends a mail from the practice mailbox. */
export async function practiceMail(
  api: WholeApi,
  mail: object,
): Promise<{ readonly id: string; readonly threadId: string }> {
  const response = await fetch(`${api.url}/v3/grants/${api.grant.id}/messages/send`, {
    method: 'POST',
    headers: { authorization: `Bearer ${api.key}`, 'content-type': 'application/json' },
    body: JSON.stringify(mail),
  });
  const { data } = JSON.parse(await response.text());
  return { id: data.id, threadId: data.thread_id };
}
