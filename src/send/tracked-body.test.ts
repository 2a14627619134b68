import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Outgoing } from './outgoing.ts';
import { trackable } from './tracked-body.ts';

const outgoing: Outgoing = {
  from: null,
  to: [{ email: 'kim@example.com' }],
  cc: [],
  bcc: [],
  replyTo: [],
  subject: '',
  body: '<p>x</p>',
  isPlaintext: false,
  replyToMessageId: '',
  customHeaders: [],
  metadata: {},
  attachments: [],
  tracking: { opens: true, links: true, threadReplies: true, label: 'l' },
};

const IMAP = { provider: 'imap', settings: {} } as const;
const SEND_ONLY = { provider: 'imap', settings: { send_only: true } } as const;

describe('tracking under a loopback address (D24)', () => {
  const deps = { trackingUrl: 'http://localhost:8080', loopback: true };

  it('is left out of mail that leaves this machine, and told', () => {
    const { tracking, warnings } = trackable(deps, IMAP, outgoing);
    assert.deepEqual(tracking, { opens: false, links: false, threadReplies: true, label: 'l' });
    assert.equal(warnings[0]?.type, 'tracking.loopback');
    assert.match(warnings[0]?.message ?? '', /TELLTALE_PUBLIC_URL/);
  });

  it('works within the practice mailbox', () => {
    assert.deepEqual(trackable(deps, { provider: 'practice', settings: {} }, outgoing), {
      tracking: outgoing.tracking,
      warnings: [],
    });
  });

  it('is not told of when nothing had to be left out', () => {
    const tracking = { ...outgoing.tracking, opens: false, links: false };
    assert.deepEqual(trackable(deps, IMAP, { ...outgoing, tracking }).warnings, []);
  });

  it('works for a reachable address', () => {
    const reachable = { ...deps, trackingUrl: 'https://track.example.com', loopback: false };
    assert.deepEqual(trackable(reachable, IMAP, outgoing).warnings, []);
  });
});

describe('tracking of replies', () => {
  const deps = { trackingUrl: 'https://track.example.com', loopback: false };

  it('is left out where the grant can only send, and told', () => {
    const { tracking, warnings } = trackable(deps, SEND_ONLY, outgoing);
    assert.deepEqual(tracking, { ...outgoing.tracking, threadReplies: false });
    assert.deepEqual(
      warnings.map(({ type }) => type),
      ['tracking.send_only'],
    );
  });

  it('comes with every other warning that is due', () => {
    const { warnings } = trackable(deps, SEND_ONLY, { ...outgoing, isPlaintext: true });
    assert.deepEqual(
      warnings.map(({ type }) => type),
      ['tracking.send_only', 'tracking.plaintext'],
    );
  });
});
