// Logging in by the mechanism that suits the credentials; what is said here must never be told on.
import { createHmac } from 'node:crypto';
import type { SMTPConnectionCustomAuthContext } from 'nodemailer/lib/smtp-connection';
import { type Auth, base64, bearerToken, plainToken, secretOf, withhold } from '../secrets-said.ts';
import { type Reply, readReply } from './replies.ts';

/** `unusable`: the server offers no mechanism that we speak. `reply` is clean of credentials. */
export type LoginProblem =
  | { readonly kind: 'unusable'; readonly reason: string }
  | { readonly kind: 'refused'; readonly reply: Reply };

export class LoginError extends Error {
  readonly problem: LoginProblem;

  constructor(problem: LoginProblem) {
    super('the login failed');
    this.problem = problem;
  }
}

type Session = Pick<SMTPConnectionCustomAuthContext, 'authMethods' | 'sendCommand'>;

/** Rejects with {@link LoginError}. */
export async function logIn(session: Session, user: string, auth: Auth): Promise<void> {
  const say = async (command: string): Promise<string> => (await session.sendCommand(command)).response;
  const mechanism = choose(session.authMethods, auth);
  if (mechanism === null) throw new LoginError({ kind: 'unusable', reason: unusable(session.authMethods, auth) });
  const { response, remark = '' } = await mechanism(say, user, auth);
  if (/^2\d\d/.test(response)) return;
  const reply = readReply(withhold(response, user, auth)) ?? NO_REPLY;
  throw new LoginError({ kind: 'refused', reply: { ...reply, text: reply.text + remark } });
}

type Say = (command: string) => Promise<string>;
type Mechanism = (say: Say, user: string, auth: Auth) => Promise<{ response: string; remark?: string }>;

const NO_REPLY: Reply = { code: 500, enhanced: '', text: 'an answer that is no SMTP reply' };
/** By preference; CRAM-MD5 is the last, as a server that offers it keeps passwords readable. */
const BY_PASSWORD: readonly (readonly [string, Mechanism])[] = [
  ['PLAIN', plain],
  ['LOGIN', login],
  ['CRAM-MD5', cramMd5],
];

function choose(offered: readonly string[], auth: Auth): Mechanism | null {
  if ('accessToken' in auth) return offered.includes('XOAUTH2') ? xoauth2 : null;
  return BY_PASSWORD.find(([name]) => offered.includes(name))?.[1] ?? null;
}

function unusable(offered: readonly string[], auth: Auth): string {
  const wanted = 'accessToken' in auth ? 'with an access token (XOAUTH2)' : 'with a password';
  const instead = offered.length === 0 ? '' : `, only ${offered.join(', ')}`;
  return `the server offers no login ${wanted}${instead}`;
}

async function plain(say: Say, user: string, auth: Auth): ReturnType<Mechanism> {
  return { response: await say(`AUTH PLAIN ${plainToken(user, auth)}`) };
}

async function login(say: Say, user: string, auth: Auth): ReturnType<Mechanism> {
  let response = await say('AUTH LOGIN');
  if (response.startsWith('334')) response = await say(base64(user));
  if (response.startsWith('334')) response = await say(base64(secretOf(auth)));
  return { response };
}

async function cramMd5(say: Say, user: string, auth: Auth): ReturnType<Mechanism> {
  const response = await say('AUTH CRAM-MD5');
  const challenge = /^334 (\S+)/.exec(response)?.[1];
  if (challenge === undefined) return { response };
  const digest = createHmac('md5', secretOf(auth)).update(Buffer.from(challenge, 'base64')).digest('hex');
  return { response: await say(base64(`${user} ${digest}`)) };
}

/** A refused token is answered with a challenge that says why; the refusal itself follows an empty line. */
async function xoauth2(say: Say, user: string, auth: Auth): ReturnType<Mechanism> {
  const response = await say(`AUTH XOAUTH2 ${bearerToken(user, auth)}`);
  const challenge = /^334 (\S+)/.exec(response)?.[1];
  if (challenge === undefined) return { response };
  const status = /"status"\s*:\s*"?(\w{1,40})/.exec(Buffer.from(challenge, 'base64').toString())?.[1];
  return { response: await say(''), remark: status === undefined ? '' : ` (XOAUTH2 status ${status})` };
}
