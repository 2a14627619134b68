// A name server on UDP that answers for some names and leaves every other question unanswered.
import { createSocket } from 'node:dgram';
import { promises as dns } from 'node:dns';
import { once } from 'node:events';
import type { Resolver } from '../../src/names.ts';

export interface QuietNameServer {
  /** A resolver that asks this server alone. */
  resolver(options: { readonly timeout: number; readonly tries: number }): Resolver;
  /** Names that were asked for and got no answer. */
  readonly unanswered: ReadonlySet<string>;
  close(): Promise<void>;
}

const A = 1;

export async function quietNameServer(addresses: Readonly<Record<string, string>>): Promise<QuietNameServer> {
  const unanswered = new Set<string>();
  const socket = createSocket('udp4', (query, from) => {
    const { name, type, end } = questionOf(query);
    const address = addresses[name];
    if (address === undefined) return void unanswered.add(name);
    socket.send(answerTo(query.subarray(0, end), type === A ? address : null), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    resolver(options) {
      const resolver = new dns.Resolver(options);
      resolver.setServers([`127.0.0.1:${socket.address().port}`]);
      return resolver;
    },
    unanswered,
    async close() {
      socket.close();
      await once(socket, 'close');
    },
  };
}

/** The one question of a query (RFC 1035 section 4.1.2); `end` is where it stops. */
function questionOf(query: Buffer): { readonly name: string; readonly type: number; readonly end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 };
}

function answerTo(question: Buffer, address: string | null): Buffer {
  const head = Buffer.from(question);
  head.writeUInt16BE(0x8180, 2); // an answer, with recursion
  head.writeUInt16BE(address === null ? 0 : 1, 6);
  head.writeUInt16BE(0, 8);
  head.writeUInt16BE(0, 10); // whatever else stood in the query is left out
  if (address === null) return head;
  const record = Buffer.from([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]);
  return Buffer.concat([head, record]);
}
