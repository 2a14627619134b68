// A mail server for notices: takes mail, with or without login and TLS, until it is told otherwise.
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { certificate } from './certificate.ts';

export interface LetterBoxOptions {
  /** 0 for any. */
  readonly port?: number;
  readonly security?: 'plain' | 'starttls' | 'tls';
  /** Then nothing is taken without them. */
  readonly login?: { readonly user: string; readonly password: string };
}

export interface LetterBox {
  readonly port: number;
  /** The mails taken so far, as text. */
  readonly letters: readonly string[];
  /** The envelopes' recipients of those. */
  readonly recipients: readonly (readonly string[])[];
  /** Passwords that were said, right or wrong, and whether over TLS. */
  readonly logins: readonly { readonly password: string; readonly isTls: boolean }[];
  /** What is said after a mail from now on, null to take it; `hang`: nothing. */
  answer(fault: { readonly code: number; readonly text: string } | 'hang' | null): void;
  /** What is said to a recipient from now on, null to take it. */
  refuse(refuses: (address: string) => boolean): void;
  /** Resolves when the next mail has been given to the server, taken or not. */
  given(): Promise<void>;
  close(): Promise<void>;
}

export async function startLetterBox(options: LetterBoxOptions = {}): Promise<LetterBox> {
  const { security = 'plain', login } = options;
  const letters: string[] = [];
  const recipients: string[][] = [];
  const logins: { password: string; isTls: boolean }[] = [];
  const waiting: (() => void)[] = [];
  let fault: { readonly code: number; readonly text: string } | 'hang' | null = null;
  let refuses = (_address: string): boolean => false;
  const server = new SMTPServer({
    ...certificate,
    secure: security === 'tls',
    disabledCommands: security === 'plain' ? ['STARTTLS'] : [],
    allowInsecureAuth: security === 'plain',
    authOptional: login === undefined,
    disableReverseLookup: true,
    logger: false,
    closeTimeout: 10,
    onAuth({ username, password: said }, session, callback) {
      const password = said ?? '';
      logins.push({ password, isTls: session.secure });
      if (username === login?.user && password === login?.password) callback(null, { user: username });
      else callback(failure(535, `5.7.8 Wrong credentials, not ${password}`));
    },
    onRcptTo({ address }, _session, callback) {
      callback(refuses(address) ? failure(550, '5.1.1 Unknown') : null);
    },
    onData(stream, session, callback) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        for (const tell of waiting.splice(0)) tell();
        if (fault === 'hang') return;
        if (fault !== null) return callback(failure(fault.code, fault.text));
        letters.push(Buffer.concat(chunks).toString('utf8'));
        recipients.push(session.envelope.rcptTo.map(({ address }) => address));
        callback(null, 'Ok: taken');
      });
    },
  }).on('error', () => {}); // of connections that were broken off
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const address: AddressInfo | string | null = server.server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    letters,
    recipients,
    logins,
    answer(next) {
      fault = next;
    },
    refuse(next) {
      refuses = next;
    },
    given: () => new Promise((resolve) => waiting.push(resolve)),
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

function failure(code: number, text: string): Error {
  return Object.assign(new Error(text), { responseCode: code });
}
