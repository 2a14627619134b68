// Mail servers for a machine without any: smtp-server and hoodiecrow-imap in this process, which say what they are told to.
import type { AddressInfo, Server, Socket } from 'node:net';
import { SMTPServer, type SMTPServerDataStream } from 'smtp-server';
import type { ImapCredentials, MailServer, OAuthLogin } from '../../src/providers/provider.ts';
import { certificate } from './certificate.ts';
import { type HoodiecrowServer, makeHoodiecrow } from './hoodiecrow.ts';

export interface BareMailOptions {
  /** With `plain` the servers are 127.0.0.1 and offer no TLS; else receiver.test, which `names` has to lead here. */
  readonly security?: 'plain' | 'starttls' | 'tls';
  /** The folders beside INBOX, by path; `special` carries \Sent. */
  readonly sent?: { readonly path: string; readonly special: boolean } | null;
  /** With \\Drafts; a folder Drafts that does not say so, where nothing else is said. */
  readonly drafts?: { readonly path: string; readonly special: boolean } | null;
  readonly uidPlus?: boolean;
  /** Says that it is Gmail. */
  readonly gmail?: boolean;
  /** Where the servers are said to be instead. */
  readonly host?: string;
}

export interface SmtpAnswer {
  readonly code: number;
  readonly text: string;
}

/** What goes wrong from now on; null is nothing. */
export interface BareFaults {
  /** An answer to a recipient. */
  recipient: ((address: string) => SmtpAnswer | null) | null;
  /** An answer to the mail; or the connection ends when its first bytes are there, or when it was taken. */
  data: SmtpAnswer | 'cut-within' | 'cut-after' | 'hang' | null;
  /** The rest of the answer to APPEND, as `NO [OVERQUOTA] full`; or the connection ends before or after the mail was kept. */
  append: string | 'cut' | 'cut-after' | 'hang' | null;
}

export interface BareMail {
  readonly ports: { readonly smtp: number; readonly imap: number };
  readonly user: string;
  readonly credentials: ImapCredentials & { readonly imap: MailServer };
  readonly faults: BareFaults;
  /** How often somebody logged in so far, refused ones not counted. */
  readonly logins: { smtp: number; imap: number };
  /** Resolves at the next APPEND. */
  appending(): Promise<void>;
  /** The same mailbox by XOAUTH2. */
  withOAuth(oauth: OAuthLogin): ImapCredentials;
  /** What both servers take from now on. */
  change(secret: { readonly password?: string; readonly accessToken?: string }): void;
  /** The mails taken so far, newest last. */
  delivered(): readonly Buffer[];
  /** The raw mails of a folder in order of arrival; none where it does not exist. */
  folder(path: string): readonly Buffer[];
  /** Flags and internal date of those. */
  marks(path: string): readonly { readonly flags: readonly string[]; readonly date: string }[];
  /** Puts a mail into a folder; `labels` as Gmail has them. */
  put(path: string, raw: Buffer, labels?: readonly string[], flags?: readonly string[]): void;
  /** How many there are to both servers. */
  readonly connections: number;
  /** Ends every connection. */
  cut(): void;
  close(): Promise<void>;
}

const USER = 'sender@bare.test';

/** Both servers, on free loopback ports. */
export async function startBareMail(options: BareMailOptions = {}): Promise<BareMail> {
  const security = options.security ?? 'plain';
  const secrets = { password: 'bare-secret', accessToken: '' };
  const delivered: Buffer[] = [];
  const faults: BareFaults = { recipient: null, data: null, append: null };
  const logins = { smtp: 0, imap: 0 };
  const waiting: (() => void)[] = [];
  const sockets = new Set<Socket>();
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };

  const smtp = smtpServer({ security, secrets, faults, logins, delivered, cut });
  const sent = options.sent === undefined ? { path: 'Sent', special: true } : options.sent;
  const users = { [USER]: { password: secrets.password, xoauth2: { accessToken: '' } } };
  const imap = makeHoodiecrow({
    secure: security === 'tls',
    starttls: security === 'starttls',
    gmail: options.gmail ?? false,
    uidPlus: options.uidPlus ?? false,
    sent,
    drafts: options.drafts === undefined ? { path: 'Drafts', special: options.gmail ?? false } : options.drafts,
    users,
    onLogin: () => logins.imap++,
    onAppend() {
      for (const tell of waiting.splice(0)) tell();
      return faults.append;
    },
    cut,
  });
  const ports = { smtp: await listen(smtp.server, sockets), imap: await listen(imap.server, sockets) };
  const host = options.host ?? (security === 'plain' ? '127.0.0.1' : 'receiver.test');
  const at = (port: number): MailServer => ({
    host,
    port,
    security: security === 'tls' ? 'tls' : 'starttls',
    user: USER,
  });
  const [out, box] = [at(ports.smtp), at(ports.imap)];
  const { password } = secrets;
  return {
    ports,
    user: USER,
    credentials: { provider: 'imap', smtp: { ...out, password }, imap: { ...box, password } },
    faults,
    logins,
    appending: () => new Promise((resolve) => waiting.push(resolve)),
    withOAuth: (oauth) => ({ provider: 'imap', smtp: out, imap: box, oauth }),
    change(secret) {
      Object.assign(secrets, secret);
      users[USER] = { password: secrets.password, xoauth2: { accessToken: secrets.accessToken } };
    },
    delivered: () => delivered,
    folder: (path) => messages(imap, path).map(({ raw }) => Buffer.from(raw, 'latin1')),
    marks: (path) => messages(imap, path).map(({ flags, internaldate }) => ({ flags, date: internaldate })),
    put(path, raw, labels, flags = []) {
      imap.appendMessage(path, [...flags], undefined, raw.toString('latin1'));
      const mail = messages(imap, path).at(-1);
      if (mail !== undefined && labels !== undefined) mail['X-GM-LABELS'] = labels;
    },
    get connections() {
      return sockets.size;
    },
    cut,
    async close() {
      const closed = [smtp.server, imap.server].map((server) => new Promise((resolve) => server.close(resolve)));
      cut();
      await Promise.all(closed);
    },
  };
}

function messages(
  imap: HoodiecrowServer,
  path: string,
): NonNullable<ReturnType<HoodiecrowServer['getMailbox']>>['messages'] {
  return imap.getMailbox(path)?.messages ?? [];
}

interface SmtpSide {
  readonly security: 'plain' | 'starttls' | 'tls';
  readonly secrets: { readonly password: string; readonly accessToken: string };
  readonly faults: BareFaults;
  readonly logins: { smtp: number };
  readonly delivered: Buffer[];
  cut(): void;
}

function smtpServer({ security, secrets, faults, logins, delivered, cut }: SmtpSide): SMTPServer {
  return new SMTPServer({
    ...certificate,
    secure: security === 'tls',
    hideSTARTTLS: security === 'plain',
    allowInsecureAuth: security === 'plain',
    authMethods: ['PLAIN', 'LOGIN', 'XOAUTH2'],
    disableReverseLookup: true,
    logger: false,
    onAuth(auth, _session, callback) {
      const right =
        auth.method === 'XOAUTH2'
          ? secrets.accessToken !== '' && auth.accessToken === secrets.accessToken
          : auth.password === secrets.password;
      if (!right || auth.username !== USER) return callback(refused({ code: 535, text: '5.7.8 Wrong credentials' }));
      logins.smtp++;
      callback(null, { user: USER });
    },
    onRcptTo({ address }, _session, callback) {
      const answer = faults.recipient?.(address) ?? null;
      callback(answer === null ? null : refused(answer));
    },
    onData(stream, _session, callback) {
      const fault = faults.data;
      if (fault === 'cut-within') stream.once('data', cut);
      whole(stream).then(
        (raw) => {
          if (fault === 'cut-within' || fault === 'hang') return;
          if (fault !== null && fault !== 'cut-after') return callback(refused(fault));
          delivered.push(raw);
          if (fault === 'cut-after') return cut();
          callback(null, 'Ok: taken');
        },
        () => {}, // cut
      );
    },
  }).on('error', () => {}); // of connections that were cut
}

function refused({ code, text }: SmtpAnswer): Error {
  return Object.assign(new Error(text), { responseCode: code });
}

async function whole(stream: SMTPServerDataStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function listen(server: Server, sockets: Set<Socket>): Promise<number> {
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true); // hoodiecrow writes an answer in pieces, and each would wait 40 ms
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address: AddressInfo | string | null = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
