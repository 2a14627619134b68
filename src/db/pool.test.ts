import assert from 'node:assert/strict';
import { createServer, connect as dial, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { testDatabase } from '../../test/support/postgres.ts';
import { connect, cutConnections, isConnectionLost, retrying } from './pool.ts';

describe('a pool', () => {
  it('whose network went silent fails at once when its connections are cut, and goes on', async () => {
    const database = await testDatabase();
    const { host, port, ...rest } = database.connection;
    const pairs: [Socket, Socket][] = [];
    const proxy = createServer((near) => {
      const far = dial(join(host, `.s.PGSQL.${port}`));
      near.pipe(far).pipe(near);
      near.on('error', () => far.destroy()).on('close', () => far.destroy());
      far.on('error', () => near.destroy());
      pairs.push([near, far]);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const address = proxy.address();
    assert.ok(typeof address === 'object' && address !== null);
    const sql = connect({ ...rest, host: '127.0.0.1', port: address.port }, { max: 2 });
    try {
      await Promise.all([sql`select 1`, sql`select 1`]);
      for (const [near, far] of pairs) {
        near.unpipe(far);
        far.unpipe(near);
      }
      const waiting = [1, 2, 3].map(() => sql`select 1`.then(() => 'answered', isConnectionLost));
      const early = await Promise.race([...waiting, new Promise((resolve) => setTimeout(resolve, 300, 'silence'))]);
      assert.equal(early, 'silence');
      cutConnections(sql);
      const ends = await Promise.all(waiting);
      assert.ok(
        ends.every((end) => end === true || end === 'answered'),
        String(ends),
      );
      assert.ok(ends.includes(true));
      assert.equal((await retrying(async () => sql`select 1 as one`))[0]?.one, 1);
    } finally {
      await sql.end({ timeout: 1 });
      proxy.close();
      for (const [near] of pairs) near.destroy();
      await database.drop();
    }
  });

  it('to a port where nobody listens says so, and is usable when somebody does', async () => {
    const sql = connect({ host: '127.0.0.1', port: 1, database: 'x', username: 'x' }, { max: 1 });
    try {
      for (let round = 0; round < 3; round++) await assert.rejects(async () => sql`select 1`, { code: 'ECONNREFUSED' });
    } finally {
      await sql.end({ timeout: 1 });
    }
  });
});
