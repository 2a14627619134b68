// A service that is killed at random moments while drafts are written, changed, deleted and sent.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import PostalMime from 'postal-mime';
import { ALICE, BOB, noDovecot, startMailHost } from '../support/dovecot.ts';
import { imapSettings } from '../support/imap-settings.ts';
import { descendants, killHard } from '../support/process-tree.ts';
import { eventually, freePort, type Service, startService } from '../support/service.ts';

const ROUNDS = 3;
const OF_A_ROUND = 12;
const skip = noDovecot();

it('drafts of a service that is killed are neither lost nor sent twice, and stand in the mailbox once', {
  skip,
}, async (t) => {
  const [host, dataDir, port] = await Promise.all([
    startMailHost(),
    mkdtemp(join(tmpdir(), 'telltale-drafts-')),
    freePort(),
  ]);
  const env = { TELLTALE_MAIL_CA_FILE: host.caFile };
  const start = (): Promise<Service> => startService({ env, dataDir, port });
  let service = await start();
  t.after(async () => {
    await service.stop();
    await host.close();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20 });
  });
  const settings = imapSettings(host, ALICE);
  const connected = await service.api('POST', '/v3/connect/custom', { provider: 'imap', settings });
  const path = `/v3/grants/${connected.at('data.id')}/drafts`;

  /** What the service last answered of each draft: its subject, or that it was deleted or sent. */
  const known = new Map<string, { readonly subjects: Set<string>; deleted: boolean; sent: 'no' | 'asked' | 'yes' }>();
  const act = async (round: number, nth: number): Promise<void> => {
    const subject = `${round}-${nth}`;
    const made = await service.api('POST', path, { to: [{ email: BOB }], subject, body: '<p>x</p>' });
    if (made.status !== 200) return;
    const id = String(made.at('data.id'));
    const draft = { subjects: new Set([subject]), deleted: false, sent: 'no' as 'no' | 'asked' | 'yes' };
    known.set(id, draft);
    await delay(Math.random() * 1000);
    if (nth % 6 === 1) {
      draft.subjects.add(`${subject} changed`);
      const changed = await service.api('PUT', `${path}/${id}`, { subject: `${subject} changed` });
      if (changed.status === 200) draft.subjects.delete(subject);
    }
    if (nth % 6 === 2) {
      draft.deleted = true;
      await service.api('DELETE', `${path}/${id}`);
    }
    if (nth % 6 > 2) {
      draft.sent = 'asked';
      const sent = await service.api('POST', `${path}/${id}`);
      if (sent.status === 200) draft.sent = 'yes';
    }
  };

  for (let round = 0; round < ROUNDS; round++) {
    const acts = Promise.allSettled(Array.from({ length: OF_A_ROUND }, (_, nth) => act(round, nth)));
    await delay(300 + Math.random() * 2000);
    const pid = service.child.pid ?? 0;
    for (const each of [pid, ...descendants(pid)]) killHard(each);
    await service.exited;
    await acts;
    service = await start();
  }

  const delivered = new Map<string, number>();
  for (const raw of await host.mails(BOB)) {
    const { subject = '' } = await PostalMime.parse(raw);
    delivered.set(subject, (delivered.get(subject) ?? 0) + 1);
  }
  const open = new Map<string, string>();
  const seen = { drafts: 0, deleted: 0, sent: 0, undecided: 0 };
  for (const [id, { subjects, deleted, sent }] of known) {
    const answer = await service.api('GET', `${path}/${id}`);
    const count = [...subjects].reduce((sum, subject) => sum + (delivered.get(subject) ?? 0), 0);
    assert.ok(count <= 1, `${[...subjects]} was sent ${count} times`);
    if (answer.status === 200) {
      const subject = String(answer.at('data.subject'));
      assert.ok(subjects.has(subject), `${subject} of ${[...subjects]}`);
      assert.notEqual(sent, 'yes');
      const isListed = (await service.api('PUT', `${path}/${id}`, {})).status === 200;
      if (isListed) open.set(id, subject);
      seen[isListed ? 'drafts' : 'undecided'] += 1;
    } else {
      assert.equal(answer.status, 404);
      assert.ok(deleted || count === 1, `${[...subjects]} is lost`);
      seen[deleted ? 'deleted' : 'sent'] += 1;
    }
  }
  // What was being sent when the service died stays in the folder until it is known whether it left.
  const undecided = seen.undecided;
  await eventually(
    'the folder is like the drafts',
    async () => {
      const mails = await Promise.all((await host.mails(ALICE, 'Drafts')).map((raw) => PostalMime.parse(raw)));
      const there = mails.map(({ subject = '' }) => subject);
      const unexpected = there.filter((subject) => ![...open.values()].includes(subject));
      const isWhole = [...open.values()].every((subject) => there.filter((each) => each === subject).length === 1);
      return isWhole && unexpected.length <= undecided ? true : undefined;
    },
    200_000,
  );
  t.diagnostic(JSON.stringify(seen));
});
