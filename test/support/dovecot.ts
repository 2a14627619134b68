// Real mail servers for a test: Dovecot and Postfix as plain processes in a folder of their own.
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ImapFlow } from 'imapflow';
import nodemailer from 'nodemailer';
import { greeted, portForServer, startDaemons } from './daemons.ts';
import { writeCertificate, writeDovecot, writePostfix, writeUsers } from './dovecot-folder.ts';
import { connections, kick, renumber } from './dovecot-state.ts';
import { type Gate, openGate } from './gate.ts';
import { readMaildir } from './maildir.ts';
import { POSTFIX_PROGRAMS } from './postfix-config.ts';
import { eventually } from './service.ts';

export interface MailHost {
  /** What every server is called in its certificate; 127.0.0.1 is named there too. */
  readonly host: 'localhost';
  /** Ways in: imap and smtp begin in the clear and want STARTTLS, imaps and smtps are TLS from the first byte on. */
  readonly ports: { readonly imap: number; readonly imaps: number; readonly smtp: number; readonly smtps: number };
  /** The authority that signed the certificate, PEM, and the file it lies in. */
  readonly ca: string;
  readonly caFile: string;
  /** The owners by address, as they now are. */
  readonly owners: ReadonlyMap<string, MailboxOwner>;
  /** The one side as clients see it; `stop` cuts its connections and refuses new ones. */
  readonly imap: Side;
  readonly smtp: Side;
  /** Raw mails of a folder in the order of arrival, once nothing is on its way any more. */
  mails(address: string, folder?: string): Promise<readonly Buffer[]>;
  /** Puts a mail into an inbox, as from another server. */
  deliver(address: string, raw: string | Buffer): Promise<void>;
  /** Hands a mail to Postfix as one of the owners, and resolves when Postfix has taken it. */
  submit(from: string, to: readonly string[], raw: string | Buffer): Promise<void>;
  /** Does something as another mail program of the owner, which no gate keeps out. */
  withProgram<T>(address: string, act: (program: ImapFlow) => Promise<T>): Promise<T>;
  /** How many connections the owner's mailbox has. */
  connections(address: string): Promise<number>;
  /** How many of them wait in IDLE for news. */
  idling(address: string): Promise<number>;
  /** Ends every connection of the owner in the server's own words (BYE). */
  kick(address: string): Promise<void>;
  /** Numbers the mails of an inbox anew, as after a restored backup: its UIDVALIDITY is another one. Nobody may be in it. */
  renumber(address: string): Promise<void>;
  /** Changes what an owner has from now on; connections that are signed in stay so. */
  change(address: string, owner: Partial<MailboxOwner>): Promise<void>;
  /** Kills Dovecot with all its processes, and starts it anew. */
  restart(): Promise<void>;
  /** What both servers wrote into their logs, for a failed test. */
  log(): Promise<string>;
  close(): Promise<void>;
}

export interface MailboxOwner {
  readonly password: string;
  /** Absent: without bounds. */
  readonly quotaBytes?: number;
}

export interface Side {
  stop(): Promise<void>;
  start(): Promise<void>;
}

export interface MailHostOptions {
  /** Answers for an access token that is appended to it, as RFC 7662 does; XOAUTH2 is offered only with it. */
  readonly introspectionUrl?: string;
}

export const ALICE = 'alice@example.test';
export const BOB = 'bob@example.test';
/** Has less room than any mail needs. */
export const CAROL = 'carol@example.test';

const OWNERS: readonly (readonly [string, MailboxOwner])[] = [
  [ALICE, { password: 'alice-secret' }],
  [BOB, { password: 'bob-secret' }],
  [CAROL, { password: 'carol-secret', quotaBytes: 100 }],
  // Whom the provider contract writes to.
  ['kim@example.com', { password: 'kim-secret' }],
  ['hidden@example.com', { password: 'hidden-secret' }],
];

/** Why there can be no mail servers here, or false: made for the `skip` of a suite. */
export function noDovecot(): string | false {
  const programs = [
    '/usr/sbin/dovecot',
    '/usr/lib/dovecot/imap',
    '/usr/lib/dovecot/lmtp',
    `${POSTFIX_PROGRAMS}/master`,
  ];
  if (!programs.every((program) => existsSync(program))) {
    return 'dovecot-imapd, dovecot-lmtpd and postfix are not all on this machine';
  }
  return process.getuid?.() === 0 ? false : 'Dovecot and Postfix need root to start';
}

/** Ready when it resolves: 0.3 s. The servers end and their folder goes with this process, should `close` not be called. */
export async function startMailHost(options: MailHostOptions = {}): Promise<MailHost> {
  const folder = await mkdtemp(join(await realpath(tmpdir()), 'tt-mail-'));
  await chmod(folder, 0o755); // the servers' own users pass through it
  const introspectionUrl = options.introspectionUrl ?? null;
  const owners = new Map(OWNERS);
  const internal = await internalPorts();
  const [ca] = await Promise.all([
    writeCertificate(folder),
    writeUsers(folder, owners),
    writeDovecot({ folder, ports: internal, introspectionUrl }),
    writePostfix({ folder, ports: internal, recipients: [...owners.keys()] }),
  ]);

  const daemons = startDaemons(folder, [
    ['/usr/sbin/dovecot', '-F', '-c', `${folder}/dovecot.conf`],
    [`${POSTFIX_PROGRAMS}/master`, '-c', `${folder}/pf/etc`, '-d'],
  ]);
  const log = async (): Promise<string> => {
    const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8').catch(() => '');
    return [await read('dovecot.log'), await read('pf/mail.log')].join('');
  };
  try {
    await Promise.all([internal.imap, internal.lmtp, internal.smtp].map((port) => greeted(port, daemons)));
  } catch (error) {
    const told = await log();
    await daemons.close();
    throw new Error(`the mail servers did not start: ${error}\n${told}`);
  }

  const gates = {
    imap: await openGate(internal.imap),
    imaps: await openGate(internal.imaps),
    smtp: await openGate(internal.smtp),
    smtps: await openGate(internal.smtps),
  };
  const ownerOf = (address: string): MailboxOwner => {
    const owner = owners.get(address);
    if (owner === undefined) throw new Error(`nobody is ${address} here`);
    return owner;
  };
  const lmtp = nodemailer.createTransport({ host: '127.0.0.1', port: internal.lmtp, lmtp: true, ignoreTLS: true });
  return {
    host: 'localhost',
    ports: { imap: gates.imap.port, imaps: gates.imaps.port, smtp: gates.smtp.port, smtps: gates.smtps.port },
    ca,
    caFile: join(folder, 'tls/cert.pem'),
    owners,
    imap: sideOf([gates.imap, gates.imaps]),
    smtp: sideOf([gates.smtp, gates.smtps]),
    async mails(address, name = 'INBOX') {
      await eventually('every mail is delivered', async () => ((await hasQueued(folder)) ? undefined : true));
      return await readMaildir(join(folder, 'mail', address, name === 'INBOX' ? '' : `.${name}`));
    },
    async deliver(address, raw) {
      await lmtp.sendMail({ envelope: { from: 'elsewhere@example.org', to: [address] }, raw });
    },
    async submit(from, to, raw) {
      const auth = { user: from, pass: ownerOf(from).password };
      const server = { host: 'localhost', port: internal.smtps, secure: true, tls: { ca }, auth };
      await nodemailer.createTransport(server).sendMail({ envelope: { from, to: [...to] }, raw });
    },
    async withProgram(address, act) {
      const auth = { user: address, pass: ownerOf(address).password };
      const server = {
        host: 'localhost',
        port: internal.imaps,
        secure: true,
        tls: { ca },
        auth,
        logger: false,
      } as const;
      const program = new ImapFlow(server);
      await program.connect();
      try {
        return await act(program);
      } finally {
        await program.logout();
      }
    },
    connections: async (address) => (await connections(folder, address)).length,
    idling: async (address) => (await connections(folder, address)).filter((title) => title.includes(' IDLE')).length,
    kick: (address) => kick(folder, address),
    renumber: (address) => renumber(join(folder, 'mail', address)),
    async change(address, owner) {
      const now = ownerOf(address);
      owners.set(address, { ...now, ...owner });
      await writeUsers(folder, owners);
      // Dovecot looks at the file once in a second of the clock.
      await new Promise((resolve) => setTimeout(resolve, 1010 - (Date.now() % 1000)));
    },
    log,
    async restart() {
      await daemons.restart(0);
      await greeted(internal.imap, daemons);
      await greeted(internal.lmtp, daemons);
    },
    async close() {
      await Promise.all(Object.values(gates).map((gate) => gate.shut()));
      await daemons.close();
    },
  };
}

function sideOf(gates: readonly Gate[]): Side {
  return {
    stop: async () => void (await Promise.all(gates.map((gate) => gate.shut()))),
    start: async () => void (await Promise.all(gates.map((gate) => gate.open()))),
  };
}

interface InternalPorts {
  readonly imap: number;
  readonly imaps: number;
  readonly lmtp: number;
  readonly smtp: number;
  readonly smtps: number;
}

async function internalPorts(): Promise<InternalPorts> {
  const ports = new Set<number>();
  while (ports.size < 5) ports.add(await portForServer());
  const [imap = 0, imaps = 0, lmtp = 0, smtp = 0, smtps = 0] = ports;
  return { imap, imaps, lmtp, smtp, smtps };
}

/** In the order in which a mail passes through them. */
async function hasQueued(folder: string): Promise<boolean> {
  for (const name of ['incoming', 'active']) {
    if ((await readdir(join(folder, 'pf/spool', name))).length > 0) return true;
  }
  return false;
}
