import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, afterEach, before, describe, it } from 'node:test';
import {
  type FormGround,
  file,
  json,
  MAIL,
  raw,
  readAnswer,
  sha256,
  startFormGround,
} from '../../test/support/form-ground.ts';
import type { WrittenForm } from '../../test/support/multipart-forms.ts';
import { RawClient } from '../../test/support/raw-client.ts';
import { eventually } from '../../test/support/service.ts';
import { connect } from '../db/pool.ts';

const MB = 1024 * 1024;
const message = json(MAIL);

let ground: FormGround;
before(async () => {
  ground = await startFormGround();
});
afterEach(async () => {
  await ground.database.sql`delete from blobs`;
});
after(async () => {
  await ground.close();
});

describe('25 MB', () => {
  const big = (size: number): WrittenForm => {
    const third = Buffer.alloc(Math.floor((size - 1000) / 3), 'x');
    return raw([message, ...[0, 1, 2].map((at) => file(`name="file${at}"; filename="a"`, third))]);
  };
  const TOLD =
    /^The request is too large: it has (.*) MB, and a form may have 25 MB, its files and its JSON part together\.$/;

  it('are taken', async () => {
    const content = randomBytes(25 * MB - JSON.stringify(MAIL).length - 6);
    const form = raw([message, file('name="file0"; filename="a"', content)]);
    const { status, data } = await ground.post({ ...form, hasLength: false });
    assert.equal(status, 200);
    assert.equal(data.attachments[0]?.hash, sha256(content));
  });

  it('and a little more are refused', async () => {
    const { status, error } = await ground.post(big(25 * MB + 20_000));
    assert.equal(status, 413);
    assert.match(error.message, TOLD);
    await blobsBecome(0);
  });

  it('and more are refused before they are read', async () => {
    const client = await RawClient.open(ground.port);
    client.send(
      `POST /v3/mails HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${ground.key}\r\n` +
        `Content-Type: multipart/form-data; boundary=b\r\nContent-Length: ${30 * MB}\r\n\r\n`,
    );
    const { status, error } = readAnswer(await client.answer());
    assert.equal(status, 413);
    assert.equal(TOLD.exec(error.message)?.[1], '30');
    client.destroy();
  });

  it('and more are refused so that a client sees it that reads only after it has written all', async () => {
    for (const hasLength of [true, false]) {
      const client = await RawClient.open(ground.port);
      const form = { ...big(35 * MB), hasLength };
      await new Promise<void>((resolve, reject) => {
        client.socket.write(ground.request(form), (error) => (error ? reject(error) : resolve()));
      });
      const { status, error } = readAnswer(await client.answer());
      assert.equal(status, 413);
      assert.equal(TOLD.exec(error.message)?.[1], hasLength ? '35' : 'more than 25');
      // The connection goes on.
      client.socket.write(ground.request(raw([message])));
      assert.equal((await client.answer()).status, 200);
      client.destroy();
    }
    await blobsBecome(0);
  });

  it('and more are refused where the connection ends behind the answer: not before the client has written all', async () => {
    for (const size of [35, 90]) {
      const client = await RawClient.open(ground.port);
      const head = ground.request({ ...raw([]), hasLength: false, body: Buffer.alloc(0) }).toString();
      const length = `Connection: close\r\nContent-Length: ${size * MB}`;
      client.send(head.slice(0, head.indexOf('\r\n\r\n') + 4).replace('Transfer-Encoding: chunked', length));
      let written = 0;
      for (; written < Math.min(size, 60) * MB && !client.socket.destroyed; written += MB) {
        assert.equal(client.left, '');
        if (!client.socket.write(Buffer.alloc(MB))) await Promise.race([once(client.socket, 'drain'), client.closed]);
      }
      if (size < 60) assert.equal(readAnswer(await client.answer()).status, 413);
      else client.socket.write(Buffer.alloc((size - 60) * MB), () => {});
      await client.closed;
      if (size > 60) assert.match(client.left, /^HTTP\/1\.1 413 /);
    }
  });

  it('and more are refused so that fetch sees it', async () => {
    const { body, contentType } = big(40 * MB);
    const response = await fetch(`${ground.url}/v3/mails`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ground.key}`, 'content-type': contentType },
      body: new ReadableStream({
        start(controller) {
          controller.enqueue(new Uint8Array(body));
          controller.close();
        },
      }),
      duplex: 'half',
    });
    assert.equal(response.status, 413);
    const { error } = JSON.parse(await response.text());
    assert.match(error.message, TOLD);
  });

  it('and more without end are hung up on', async () => {
    const client = await RawClient.open(ground.port);
    const begun = raw([message, file('name="file0"; filename="a"')]).body.subarray(0, -10);
    const request = ground.request({ ...raw([]), hasLength: false, body: begun });
    client.socket.write(request.subarray(0, -'0\r\n\r\n'.length));
    const chunk = Buffer.concat([Buffer.from('40000\r\n'), Buffer.alloc(0x40000, 'x'), Buffer.from('\r\n')]);
    let written = 0;
    let isOpen = true;
    void client.closed.then(() => {
      isOpen = false;
    });
    while (isOpen && written < 300 * MB) {
      written += chunk.length;
      if (!client.socket.write(chunk))
        await Promise.race([once(client.socket, 'drain').catch(() => {}), client.closed]);
    }
    assert.ok(written < 200 * MB, 'it was read without end');
    assert.match(client.left, /^HTTP\/1\.1 413 /);
  });
});

describe('what was stored of a request', () => {
  const large = file('name="file0"; filename="a"', randomBytes(MB));

  it('is dropped once it was answered, whether it was served or refused', async () => {
    for (const parts of [
      [message, large],
      [large, json({})],
      [large, json({ ...MAIL, use_draft: true })],
      [large, json('{')],
      [large],
      [message, large, file('filename="nameless"')],
    ]) {
      await ground.post(raw(parts));
      await blobsBecome(0);
    }
  });

  it('stays where somebody holds it', async () => {
    assert.equal((await ground.post(raw([message, large, large]), '/v3/mails/held')).status, 200);
    const held = await ground.blobs();
    assert.equal(held.length, 2);
    assert.equal((await ground.post(raw([message, large]))).status, 200);
    await blobsBecome(2);
    assert.deepEqual(await ground.blobs(), held);
  });

  it('stays after a 504 for the sweep', async () => {
    assert.equal((await ground.post(raw([message, large]), '/v3/mails/late')).status, 504);
    assert.equal((await ground.post(raw([message, large]))).status, 200);
    await blobsBecome(1);
  });

  it('is dropped when the caller cuts it off', async () => {
    for (const hasLength of [true, false]) {
      const client = await RawClient.open(ground.port);
      const bytes = ground.request({ ...raw([message, large, large]), hasLength });
      client.socket.write(bytes.subarray(0, 1.5 * MB));
      await stored(1 * MB + 100_000);
      client.destroy();
      await blobsBecome(0);
    }
  });

  it('is written no faster than the database takes it', async () => {
    const blocker = connect(ground.database.connection, { max: 1 });
    const client = await RawClient.open(ground.port);
    const form = raw([message, file('name="file0"; filename="a"', randomBytes(24 * MB))]);
    try {
      await blocker.begin(async (tx) => {
        await tx`lock table blob_chunks in exclusive mode`;
        const before = process.memoryUsage().arrayBuffers;
        client.socket.write(ground.request(form));
        await stalled();
        assert.ok(client.socket.writableLength > 0, 'all was taken from the caller');
        assert.ok(process.memoryUsage().arrayBuffers - before < 60 * MB); // the request itself, and the kernel's
      });
      assert.equal((await client.answer()).status, 200);
    } finally {
      client.destroy();
      await blocker.end();
    }
  });
});

/** Dropping is not waited for by the answer. */
async function blobsBecome(count: number): Promise<void> {
  await eventually(`${count} blobs`, async () => (await ground.blobs()).length === count || undefined);
}

/** Until so many bytes have reached the ground.database. */
async function stored(least: number): Promise<void> {
  await eventually('chunks in the database', async () => {
    const [row] = await ground.database.sql<{ size: number }[]>`
      select coalesce(sum(length(bytes)), 0)::int as size from blob_chunks`;
    return (row?.size ?? 0) >= least || undefined;
  });
}

/** Until no query but the one that waits for the lock has been running for a while. */
async function stalled(): Promise<void> {
  await eventually('a query that waits', async () => {
    const [row] = await ground.database.sql<{ waiting: number }[]>`
      select count(*)::int as waiting from pg_stat_activity
      where wait_event_type = 'Lock' and state_change < now() - interval '300 milliseconds'
        and datname = current_database()`;
    return (row?.waiting ?? 0) > 0 || undefined;
  });
}
