// Mail of our own, through the operator's mail server: notices to people. Not for what applications send.
import { createTransport } from 'nodemailer';
import { withoutAddresses } from '../log.ts';
import { certificateProblem, usualAuthorities } from './mail-server.ts';
import { withhold } from './secrets-said.ts';
import { helloName } from './smtp/route.ts';

export interface PostmanDeps {
  /** `smtp://` (587 where no port is named) or `smtps://` (465), with user and password where the server wants them. */
  readonly url: string;
  /** `telltale@example.com` or `Telltale <telltale@example.com>`. */
  readonly from: string;
  /** Certificate authorities to trust besides the usual ones, PEM; null for none. */
  readonly ca: string | null;
  /** For the whole of one mail. */
  readonly deadlineMs?: number;
}

export interface Letter {
  /** Makes the Message-ID: one that is sent twice is recognised by it. */
  readonly id: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
  readonly date: Date;
}

/** `refused`: how many of the recipients the server did not take. `reason` names no secrets and no addresses. */
export type Posted =
  | { readonly kind: 'taken'; readonly refused: number }
  | { readonly kind: 'failed'; readonly reason: string };

export interface Postman {
  /** One connection for each mail. Never rejects, and ends within a minute. */
  send(letter: Letter, signal: AbortSignal): Promise<Posted>;
}

const STEP_MS = 30_000;
const DEADLINE_MS = 60_000;
const LARGEST_REPLY = 64 * 1024;
const LONGEST_REASON = 300;

/** The server is the operator's own, so no address is refused. Credentials leave this machine only over TLS. */
export function makePostman({ url, from, ca, deadlineMs = DEADLINE_MS }: PostmanDeps): Postman {
  const { protocol, hostname, port, username, password } = new URL(url);
  const [user, pass] = [decoded(username), decoded(password)];
  const host = hostname.replace(/^\[|\]$/g, '');
  const isLocal = /^(?:127\.[\d.]+|::1|(?:.+\.)?localhost)$/.test(host);
  const isTls = protocol === 'smtps:';
  const address = /<([^<>]+)>/.exec(from)?.[1] ?? from;
  const transport = createTransport({
    host,
    ...(port !== '' && { port: Number(port) }),
    secure: isTls,
    requireTLS: !isTls && user !== '' && !isLocal,
    ...(user !== '' && { auth: { user, pass } }),
    tls: {
      minVersion: 'TLSv1.2', // RFC 8996
      ...(ca !== null && { ca: [...usualAuthorities(), ca] }),
      // STARTTLS to a mail server of this very machine protects nothing, and its certificate is usually home-made.
      rejectUnauthorized: isTls || !isLocal,
    },
    name: helloName('127.0.0.1', address),
    connectionTimeout: STEP_MS,
    greetingTimeout: STEP_MS,
    dnsTimeout: STEP_MS,
    socketTimeout: STEP_MS,
    maxResponseSize: LARGEST_REPLY,
    disableFileAccess: true,
    disableUrlAccess: true,
  });

  return {
    async send({ id, to, subject, text, date }, signal) {
      try {
        const sent = await transport.sendMail({
          from,
          to: to.map((each) => ({ name: '', address: each })),
          subject,
          text,
          date,
          messageId: `<${id}@${address.slice(address.lastIndexOf('@') + 1)}>`,
          headers: { 'Auto-Submitted': 'auto-generated' }, // RFC 3834: no answering machine answers it
          signal: AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)]),
        });
        return { kind: 'taken', refused: sent.rejected?.length ?? 0 };
      } catch (error) {
        const said = certificateProblem(error) ?? (error instanceof Error ? error.message : String(error));
        const clean = withoutAddresses(withhold(said, user, { password: pass }));
        return { kind: 'failed', reason: clean.replace(/\s+/g, ' ').slice(0, LONGEST_REASON) };
      }
    },
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign that was meant as one
  }
}
