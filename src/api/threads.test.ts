import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { foundMail } from '../../test/support/found-mail.ts';
import { mailShelf } from '../../test/support/mail-shelf.ts';
import { type Called, type Sender, startSender } from '../../test/support/sender.ts';
import { fromWireId, uuidv7, wireId } from '../ids.ts';
import { findKnownMail } from '../replies/known-mail.ts';

const shelf = mailShelf();
let sender: Sender;
before(async () => {
  sender = await startSender((deps) => ({ ...deps, providers: shelf.behind(deps.providers) }));
});
after(async () => {
  await sender.close();
});
beforeEach(() => {
  shelf.answer = null;
  shelf.asked.length = 0;
});

const find = (id: string, query = ''): Promise<Called> =>
  sender.call('GET', `/v3/grants/${sender.grant.id}/threads/${id}${query}`);

interface Root {
  readonly id: string;
  readonly thread: string;
  readonly date: number;
}

async function sent(change: object = {}, shelve = true): Promise<Root> {
  const answer = await sender.call('POST', `/v3/grants/${sender.grant.id}/messages/send`, {
    to: [{ name: 'Kim', email: 'kim@example.com' }],
    subject: 'Renewal',
    body: '<p>Shall we?</p>',
    ...change,
  });
  assert.equal(answer.status, 200, answer.text);
  const id = String(answer.at('data.id'));
  const { bytes } = await sender.call('GET', `/practice/messages/${id}/raw`);
  if (shelve) shelf.put(`sent/${id}`, bytes, { folders: ['SENT'], unread: false });
  return { id, thread: String(answer.at('data.thread_id')), date: Number(answer.at('data.date')) };
}

let count = 0;

/** An answer that came so many seconds after the message, on the shelf unless asked otherwise. */
async function answered(
  root: Root,
  seconds: number,
  {
    from = 'Kim T <KIM@example.com>',
    body = 'Gladly',
    shelve = true,
    kind = 'reply' as 'reply' | 'self',
    starred = false,
  } = {},
): Promise<{ readonly id: string; readonly place: string; readonly date: number }> {
  count += 1;
  const place = `in/${count}`;
  const receivedAt = new Date((root.date + seconds) * 1000);
  const raw = `Message-ID: <answer${count}@client.test>\nSubject: Re: Renewal\nFrom: ${from}\nTo: sender@practice.test, lee@example.com\n\n${body}`;
  const id = await foundMail(sender.database.sql, sender.grant, raw, {
    place,
    threadId: root.thread,
    rootId: fromWireId('msg', root.id),
    class: kind,
    receivedAt,
  });
  if (shelve) shelf.put(place, raw, { receivedAt, starred });
  return { id, place, date: root.date + seconds };
}

describe('a thread', () => {
  it('is all that is known of its messages', async () => {
    const root = await sent({ cc: [{ email: 'lee@example.com' }] });
    const first = await answered(root, 60, { starred: true });
    const own = await answered(root, 120, { kind: 'self', from: 'sender@practice.test', body: 'Fine' });
    const last = await answered(root, 180, { body: 'See you' });
    const shown = await find(root.thread);
    assert.equal(shown.status, 200, shown.text);
    const message = await sender.call('GET', `/v3/grants/${sender.grant.id}/messages/${last.id}`);
    assert.deepEqual(shown.at('data'), {
      id: root.thread,
      object: 'thread',
      grant_id: sender.grant.id,
      subject: 'Renewal',
      snippet: 'See you',
      participants: [
        { name: 'Practice Sender', email: 'sender@practice.test' },
        { name: 'Kim', email: 'kim@example.com' },
        { name: '', email: 'lee@example.com' },
      ],
      message_ids: [root.id, first.id, own.id, last.id],
      draft_ids: [],
      folders: ['SENT', 'INBOX'],
      has_attachments: false,
      has_drafts: false,
      starred: true,
      unread: true,
      earliest_message_date: root.date,
      latest_message_received_date: last.date,
      latest_message_sent_date: own.date,
      latest_draft_or_message: message.at('data'),
    });
    assert.deepEqual(
      shelf.asked[0]?.map(({ withBody }) => withBody),
      [false, false, false, true],
    );
    assert.equal(shelf.asked.length, 2); // one for the thread, one for the message
  });

  it('of one message that lies in no mailbox is that message', async () => {
    const root = await sent({}, false);
    const shown = await find(root.thread);
    assert.equal(shown.status, 200, shown.text);
    assert.deepEqual(shown.at('data.message_ids'), [root.id]);
    assert.deepEqual(shown.at('data.folders'), ['SENT']);
    assert.deepEqual(shown.at('data.participants'), [{ name: 'Practice Sender', email: 'sender@practice.test' }]);
    assert.equal(shown.at('data.latest_message_received_date'), undefined);
    assert.equal(shown.at('data.latest_message_sent_date'), root.date);
    assert.equal(shown.at('data.latest_draft_or_message.object'), 'message');
    assert.equal(shown.at('data.latest_draft_or_message.id'), root.id);
    assert.equal(shown.at('data.subject'), 'Renewal');
  });

  it('leaves out what has gone from the mailbox, the newest too', async () => {
    const root = await sent();
    const stays = await answered(root, 60, { body: 'stays' });
    await answered(root, 120, { shelve: false });
    await answered(root, 180, { shelve: false });
    const shown = await find(root.thread);
    assert.deepEqual(shown.at('data.message_ids'), [root.id, stays.id]);
    assert.equal(shown.at('data.latest_draft_or_message.id'), stays.id);
    assert.equal(String(shown.at('data.latest_draft_or_message.body')).trim(), 'stays');
    assert.equal(shown.at('data.snippet'), 'stays');
    assert.equal(shown.at('data.latest_message_received_date'), stays.date);
  });

  it('names a message of ours once that was also found as an answer to another one', async () => {
    const root = await sent();
    const second = await sent({ reply_to_message_id: root.id });
    assert.equal(second.thread, root.thread);
    await answered(root, 60);
    const raw = 'Message-ID: <own-answer@practice.test>\nSubject: Re: Renewal\n\nx';
    const id = fromWireId('msg', second.id);
    await foundMail(sender.database.sql, sender.grant, raw, { place: 'own', threadId: root.thread, id, class: 'self' });
    const shown = await find(root.thread);
    assert.deepEqual([shown.at('data.message_ids')].flat().filter((each) => each === second.id).length, 1);
  });

  it('remembers where its mails were moved to', async () => {
    const root = await sent();
    const moved = await answered(root, 60);
    await answered(root, 120);
    const raw = `Message-ID: <answer${count - 1}@client.test>\n\nx`;
    shelf.take(moved.place);
    shelf.put('moved here', raw);
    assert.equal((await find(root.thread)).status, 200);
    const { app, id } = sender.grant;
    assert.equal((await findKnownMail(sender.database.sql, app, id, moved.id))?.place, 'moved here');
  });

  it('reads the newest 50 of more, and names all', async () => {
    const root = await sent();
    const ids: string[] = [root.id];
    for (let at = 1; at <= 60; at++) ids.push((await answered(root, at)).id);
    const shown = await find(root.thread);
    assert.deepEqual(shown.at('data.message_ids'), ids);
    assert.equal(shelf.asked[0]?.length, 50);
    assert.equal(shown.at('data.earliest_message_date'), root.date);
    assert.equal(shown.at('data.subject'), 'Renewal');
  });

  it('of strangers begins with their subject', async () => {
    const thread = wireId('thr', uuidv7());
    const raw = 'Message-ID: <stranger@client.test>\nSubject: Offer\nFrom: a@example.com\n\nBuy';
    const id = await foundMail(sender.database.sql, sender.grant, raw, {
      place: 'stranger',
      threadId: thread,
      class: 'unrelated',
    });
    shelf.put('stranger', raw);
    const shown = await find(thread);
    assert.equal(shown.at('data.subject'), 'Offer');
    assert.deepEqual(shown.at('data.message_ids'), [id]);
    assert.equal(shown.at('data.latest_message_sent_date'), undefined);
    shelf.take('stranger');
    assert.equal((await find(thread)).status, 404);
  });

  it('is cut to what is selected', async () => {
    const root = await sent();
    const shown = await find(root.thread, '?select=subject');
    assert.deepEqual(Object.keys(Object(shown.at('data'))).sort(), ['grant_id', 'id', 'object', 'subject']);
  });

  it('is unknown where nothing is in it', async () => {
    for (const name of [wireId('thr', uuidv7()), 'thr_x', 'a%00b']) {
      const shown = await find(name);
      assert.deepEqual([shown.status, shown.at('error.type')], [404, 'api.not_found_error'], name);
      assert.match(String(shown.at('error.message')), /^thread_id: no thread ".+" was found in this grant\.$/s);
    }
    const root = await sent();
    const other = await sender.application('production');
    const path = `/v3/grants/${other.grant.id}/threads/${root.thread}`;
    assert.equal((await sender.call('GET', path, undefined, other.key)).status, 404);
  });

  it('cannot be read where the mailbox cannot', async () => {
    const root = await sent();
    shelf.answer = async () => ({ kind: 'unreachable', reason: 'away' });
    assert.equal((await find(root.thread)).status, 503);
  });
});
