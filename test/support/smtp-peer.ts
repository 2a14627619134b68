// A mail server that keeps to a script, however bad its manners. For good manners there is `smtp-server`.
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { certificate } from './certificate.ts';

/** What is done at one point of the conversation; `line` is what the client said. */
export type Move = (socket: Socket, line: string) => void;

/**
 * By verb: EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, RSET, QUIT, and any line under AUTH's 334. `greeting` comes first,
 * `inData` at the first bytes of a mail, `mail` after its final dot. What is not scripted goes well;
 * each is looked up when it comes to it, so a getter may change its mind.
 */
export type Script = Readonly<Record<string, Move | undefined>>;

export interface SmtpPeer {
  readonly port: number;
  /** Connections so far. */
  readonly connections: number;
  /** Connections that are open now. */
  readonly open: number;
  /** Lines of all connections, mails left out. */
  readonly heard: readonly string[];
  /** Mails that came to their final dot. */
  readonly mails: readonly string[];
  close(): Promise<void>;
}

export const say =
  (...lines: readonly string[]): Move =>
  (socket) =>
    void socket.write(`${lines.join('\r\n')}\r\n`);

export const hangUp: Move = (socket) => void socket.end();
export const reset: Move = (socket) => void socket.resetAndDestroy();
export const silence: Move = () => {};

export const sayAndHangUp =
  (text: string): Move =>
  (socket) =>
    void socket.end(`${text}\r\n`);

/** One byte after the other, `every` milliseconds. */
export const dribble =
  (text: string, every: number): Move =>
  (socket) => {
    const bytes = [...`${text}\r\n`];
    const timer = setInterval(() => {
      const next = bytes.shift();
      if (next === undefined || socket.destroyed) clearInterval(timer);
      else socket.write(next);
    }, every);
    socket.once('close', () => clearInterval(timer));
  };

/** Says so and begins with TLS. What comes in `smuggled` is sent in plain text before it. */
export const startTls =
  (smuggled = ''): Move =>
  (socket) =>
    void socket.write(`220 2.0.0 Ready to start TLS\r\n${smuggled}`);

export const offering = (...lines: readonly string[]): Move =>
  say('250-peer.test', ...lines.map((line) => `250-${line}`), '250 HELP');

const GOOD: Script = {
  greeting: say('220 peer.test ESMTP'),
  EHLO: offering('PIPELINING', 'AUTH PLAIN LOGIN XOAUTH2'),
  HELO: say('250 peer.test'),
  STARTTLS: startTls(),
  AUTH: say('235 2.7.0 Accepted'),
  MAIL: say('250 2.1.0 Ok'),
  RCPT: say('250 2.1.5 Ok'),
  DATA: say('354 Go on'),
  inData: silence,
  mail: say('250 2.0.0 Ok: queued'),
  RSET: say('250 2.0.0 Ok'),
  QUIT: sayAndHangUp('221 2.0.0 Bye'),
};

/** `scriptOf` is asked for every connection; the first is 1. */
export async function smtpPeer(scriptOf: (connection: number) => Script): Promise<SmtpPeer> {
  const heard: string[] = [];
  const mails: string[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;

  const converse = (socket: Socket, script: Script): void => {
    let rest = '';
    let mode: 'commands' | 'data' | 'answers' = 'commands';
    let mail = '';
    const act = (verb: string, line: string): void => (script[verb] ?? GOOD[verb] ?? silence)(socket, line);
    const onLine = (line: string): void => {
      if (mode === 'data') {
        if (mail === '') act('inData', line);
        if (line !== '.') {
          mail += `${line}\r\n`;
          return;
        }
        mode = 'commands';
        mails.push(mail);
        mail = '';
        act('mail', line);
        return;
      }
      heard.push(line);
      const verb = (line.split(' ')[0] ?? '').toUpperCase();
      const known = GOOD[verb] !== undefined;
      act(known ? verb : 'AUTH', line);
      if (verb === 'DATA' && script.DATA === undefined) mode = 'data';
      if (verb === 'STARTTLS' && script.STARTTLS !== undefined && !(socket instanceof TLSSocket)) {
        socket.removeAllListeners('data');
        const secure = new TLSSocket(socket, { isServer: true, ...certificate });
        secure.on('error', () => {});
        converse(secure, script);
      }
    };
    socket.on('data', (chunk) => {
      const lines = (rest + chunk.toString('latin1')).split('\r\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line);
    });
  };

  const server = createServer({ noDelay: true }, (socket) => {
    connections++;
    sockets.add(socket);
    socket.on('error', () => {}).once('close', () => sockets.delete(socket));
    const script = scriptOf(connections);
    converse(socket, script);
    (script.greeting ?? GOOD.greeting ?? silence)(socket, '');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    port: address !== null && typeof address === 'object' ? address.port : 0,
    get connections() {
      return connections;
    },
    get open() {
      return sockets.size;
    },
    heard,
    mails,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
