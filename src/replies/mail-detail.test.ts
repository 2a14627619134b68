import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseHead } from '../providers/mail-head.ts';
import type { ContentAttachment, MailContent } from '../providers/watch.ts';
import { mailDetail } from './mail-detail.ts';

const FILE: ContentAttachment = {
  part: '2',
  filename: 'a\0\ud800.txt',
  contentType: 'text/plain',
  size: 3,
  isInline: false,
  contentId: null,
  contentDisposition: null,
};
const CONTENT: MailContent = {
  place: 'INBOX/1/1',
  folders: ['INBOX'],
  receivedAt: new Date('2026-11-20T10:00:00.999Z'),
  unread: true,
  starred: false,
  threadKey: null,
  head: parseHead(
    Buffer.from('Subject: Re: Hello\r\nFrom: Kim <kim@example.com>\r\nTo: undisclosed-recipients:;\r\n\r\n'),
  ),
  html: '<p>Fish &amp; chips</p>',
  text: 'Fish',
  attachments: [FILE],
};
const same = (body: string): string => body;
const NAMES = { id: 'msg_a', threadId: 'thr_a', provider: 'imap', clean: { html: same, text: same } };

describe('a mail as it is told', () => {
  it('has the HTML part as its body, else the text, else nothing', () => {
    assert.equal(mailDetail(CONTENT, NAMES).body, '<p>Fish &amp; chips</p>');
    assert.equal(mailDetail(CONTENT, NAMES).snippet, 'Fish & chips');
    const text = mailDetail({ ...CONTENT, html: null, text: 'a <b> &amp; c' }, NAMES);
    assert.deepEqual([text.body, text.snippet], ['a <b> &amp; c', 'a <b> &amp; c']);
    const nothing = mailDetail({ ...CONTENT, html: null, text: null }, NAMES);
    assert.deepEqual([nothing.body, nothing.snippet], ['', '']);
  });

  it('is cleaned before its snippet is cut', () => {
    const clean = { html: () => '<p>clean</p>', text: () => 'clean text' };
    const html = mailDetail(CONTENT, { ...NAMES, clean });
    assert.deepEqual([html.body, html.snippet], ['<p>clean</p>', 'clean']);
    assert.equal(mailDetail({ ...CONTENT, html: null }, { ...NAMES, clean }).body, 'clean text');
  });

  it('counts whole seconds and names people who have an address', () => {
    const { date, from, to } = mailDetail(CONTENT, NAMES);
    assert.equal(date, Date.parse('2026-11-20T10:00:00Z') / 1000);
    assert.deepEqual([from, to], [[{ name: 'Kim', email: 'kim@example.com' }], []]);
  });

  it('names attachments by the mail and the place in it, in what the database can keep', () => {
    const two = { ...CONTENT, attachments: [FILE, { ...FILE, part: '3' }] };
    const [first, second] = mailDetail(two, NAMES).attachments;
    assert.match(first?.id ?? '', /^att_[0-9a-z]{26}$/);
    assert.notEqual(first?.id, second?.id);
    assert.equal(mailDetail(CONTENT, NAMES).attachments[0]?.id, first?.id);
    assert.notEqual(mailDetail(CONTENT, { ...NAMES, id: 'msg_b' }).attachments[0]?.id, first?.id);
    assert.equal(first?.filename, 'a\ufffd\ufffd.txt');
  });
});
