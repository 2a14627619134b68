// The part of hoodiecrow-imap (untyped) that tests use: an IMAP server in memory, whose folders all users share.
import { createRequire } from 'node:module';
import type { Server, Socket } from 'node:net';
import { certificate } from './certificate.ts';

export interface HoodiecrowServer {
  readonly server: Server;
  getMailbox(path: string): { readonly messages: readonly HoodiecrowMessage[] } | undefined;
  appendMessage(path: string, flags: readonly string[], date: string | undefined, raw: string): unknown;
}

export interface HoodiecrowMessage {
  /** Bytes as latin1. */
  readonly raw: string;
  readonly flags: readonly string[];
  readonly internaldate: string;
  'X-GM-LABELS'?: readonly string[];
}

export interface HoodiecrowOptions {
  readonly secure: boolean;
  readonly starttls: boolean;
  readonly gmail: boolean;
  readonly uidPlus: boolean;
  readonly sent: { readonly path: string; readonly special: boolean } | null;
  readonly drafts: { readonly path: string; readonly special: boolean } | null;
  readonly users: Record<string, { readonly password: string; readonly xoauth2: { readonly accessToken: string } }>;
  onLogin(): void;
  /** How APPEND ends; null as it should. */
  onAppend(): string | null;
  cut(): void;
}

interface Connection {
  readonly socket: Socket;
  send(response: { tag: string; skipResponse?: boolean }, description: string, parsed: Command): void;
}

interface Command {
  readonly tag: string;
}

type Handler = (connection: Connection, parsed: Command, data: string, callback: () => void) => void;

interface Inside extends HoodiecrowServer {
  getCommandHandler(command: string): Handler;
  setCommandHandler(command: string, handler: Handler): void;
  readonly outputHandlers: ((connection: Connection, response: { tag: string }, description?: string) => void)[];
  readonly fetchHandlers: Record<string, FetchHandler>;
}

type FetchHandler = (connection: Connection, message: HoodiecrowMessage, query: Query) => unknown;

interface Query {
  readonly partial?: readonly number[];
}

const load = createRequire(import.meta.url);
const hoodiecrow: (options: object) => HoodiecrowServer = load('hoodiecrow-imap');
const builtIn: Inside['fetchHandlers'] = load('hoodiecrow-imap/lib/commands/handlers/fetch');

/** Not listening yet. */
export function makeHoodiecrow(options: HoodiecrowOptions): HoodiecrowServer {
  return hoodiecrow({
    credentials: { ...certificate },
    secureConnection: options.secure,
    users: options.users,
    storage: {
      INBOX: { messages: [] },
      '': {
        separator: '/',
        folders: {
          ...(options.drafts !== null && folderOf({ ...options.drafts, use: '\\Drafts' })),
          ...(options.sent !== null && folderOf({ ...options.sent, use: '\\Sent' })),
          ...(options.gmail && { 'All Mail': { 'special-use': '\\All' }, Trash: { 'special-use': '\\Trash' } }),
        },
      },
    },
    plugins: [
      ...(options.starttls ? ['STARTTLS'] : []),
      ...(options.gmail ? ['X-GM-EXT-1', 'MOVE', gmail] : []),
      ...(options.uidPlus || options.gmail ? ['UIDPLUS'] : []),
      'AUTH-PLAIN',
      'SASL-IR',
      'XOAUTH2',
      'ID',
      'NAMESPACE',
      'SPECIAL-USE',
      mindful,
      (server: Inside) => faulty(server, options),
    ],
  });
}

interface Place {
  readonly path: string;
  readonly special: boolean;
  readonly use: string;
}

function folderOf({ path, special, use }: Place): object {
  const [first = '', ...rest] = path.split('/');
  if (rest.length > 0) return { [first]: { folders: folderOf({ path: rest.join('/'), special, use }) } };
  return { [first]: special ? { 'special-use': use } : {} };
}

/** Its plugin does not name the capability, and knows no threads. */
function gmail(server: Inside & { registerCapability(name: string): void }): void {
  server.registerCapability('X-GM-EXT-1');
  server.fetchHandlers['X-GM-THRID'] = () => ({ type: 'ATOM', value: '1278455344230334865' });
}

/** It would forget how much was asked for after the first mail of a FETCH. */
function mindful(server: Inside): void {
  const { BODY: body } = builtIn;
  if (body === undefined) throw new Error('hoodiecrow-imap has no handler for BODY any more');
  const handler: FetchHandler = (connection, message, query) =>
    body(connection, message, { ...query, ...(query.partial !== undefined && { partial: [...query.partial] }) });
  for (const name of ['BODY', 'BODY.PEEK']) server.fetchHandlers[name] = handler;
}

function faulty(server: Inside, { onAppend, onLogin, cut }: HoodiecrowOptions): void {
  const append = server.getCommandHandler('APPEND');
  server.setCommandHandler('APPEND', (connection, parsed, data, callback) => {
    const fault = onAppend();
    if (fault === null) return append(connection, parsed, data, callback);
    if (fault === 'cut') return cut();
    if (fault === 'hang') return;
    if (fault !== 'cut-after') {
      connection.socket.write(`${parsed.tag} ${fault}\r\n`);
      return callback();
    }
    append({ ...connection, send: () => {} }, parsed, data, callback);
    cut();
  });
  server.outputHandlers.push((_connection, response, description = '') => {
    if (/^(LOGIN|AUTHENTICATE \w+) SUCCESS$/.test(description) && response.tag !== '*') onLogin();
  });
}
