import { readFile } from 'node:fs/promises';
import type { FastifyReply } from 'fastify';
import type { Email } from 'postal-mime';
import { ApiError, invalid } from '../errors.ts';
import { findGrant } from '../grants/grants.ts';
import {
  findPracticeMail,
  listPracticeMail,
  type PracticeMail,
  practiceInbox,
  readPracticeMail,
} from '../grants/practice-mail.ts';
import { fromWireId, wireId } from '../ids.ts';
import type { SendDeps } from '../send/send.ts';
import { bodyCleaner } from '../send/tracked-body.ts';
import { messageById } from '../tracking/messages.ts';
import { type AnyRequest, type Http, practiceCaller, type Routes } from './http.ts';
import { practiceGrantRoutes } from './practice-grants.ts';
import { composeReply, ReplyBody } from './practice-reply.ts';
import { contentOf, parseMail, readMail, viewDocument, viewPolicy } from './practice-view.ts';
import { boolean, integer, oneOf, readQuery } from './query.ts';
import { answer } from './respond.ts';

interface OneMail {
  Params: { id: string };
}

/**
 * The practice mailbox: its page and what that page and curl ask. To be mounted only where practice is on. An API key
 * sees its own application, the signed-in operator sees all of them.
 */
export function practiceRoutes(deps: SendDeps): Routes {
  return (http) => {
    pageRoutes(http);
    mailRoutes(http, deps);
    practiceGrantRoutes(http, deps);
  };
}

const PAGES = new URL('../../../pages/', import.meta.url);
const FILES = [
  { path: '/practice', file: 'practice.html', type: 'text/html; charset=utf-8' },
  { path: '/practice/practice.css', file: 'practice.css', type: 'text/css; charset=utf-8' },
  { path: '/practice/practice.js', file: 'practice.js', type: 'text/javascript; charset=utf-8' },
] as const;
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

function pageRoutes(http: Http): void {
  for (const { path, file, type } of FILES) {
    http.get(path, async (_request, reply) => {
      const content = await readFile(new URL(file, PAGES));
      return await sendSafely(reply, type, PAGE_POLICY, content);
    });
  }
}

const LIST = {
  // Mail that was sent, unless the reader's answers are asked for as well; drafts only where they are named.
  folder: oneOf(['SENT', 'INBOX', 'DRAFTS', 'all'], {
    fallback: 'SENT',
    description: 'Mail that was sent, answers to it, drafts; or both of the former',
  }),
  limit: integer({ min: 1, max: 1000, fallback: 200 }, 'How many at most'),
};
const VIEW = { images: boolean('Whether pictures are loaded from elsewhere') };

function mailRoutes(http: Http, deps: SendDeps): void {
  const { sql } = deps;
  const keepReceived = practiceInbox({ sql });

  http.get('/practice/messages', async (request) => {
    const query = readQuery(request, LIST);
    const list = await listPracticeMail(sql, practiceCaller(request).app, {
      folder: query.folder === 'all' ? null : query.folder,
      limit: query.limit,
    });
    return answer(request, list.map(mailToWire));
  });

  http.get<OneMail>('/practice/messages/:id', async (request) => {
    const { kept, mail } = await parsed(deps, request);
    return answer(request, { ...mailToWire(kept), envelope: kept.envelope, ...readMail(mail) });
  });

  http.get<OneMail>('/practice/messages/:id/raw', async (request, reply) => {
    const { raw } = await found(deps, request);
    return await sendSafely(reply, 'message/rfc822', "default-src 'none'; sandbox", raw);
  });

  http.get<OneMail>('/practice/messages/:id/view', async (request, reply) => {
    const { images = true } = readQuery(request, VIEW);
    const { kept, mail } = await parsed(deps, request);
    reply.header('x-dns-prefetch-control', 'off');
    // An answer is read by the sender, who must not be counted as a reader of what it quotes.
    const shown =
      kept.folder === 'INBOX' && mail.html !== undefined
        ? { ...mail, html: bodyCleaner(deps, kept.app).html(mail.html) }
        : mail;
    return await sendSafely(reply, 'text/html; charset=utf-8', viewPolicy(images), viewDocument(shown));
  });

  http.get<{ Params: { id: string; index: string } }>(
    '/practice/messages/:id/attachments/:index',
    async (request, reply) => {
      const { mail } = await parsed(deps, request);
      const { index } = request.params;
      const attachment = /^\d{1,5}$/.test(index) ? mail.attachments[Number(index)] : undefined;
      if (attachment === undefined) throw notFound();
      const name = encodeURIComponent(attachment.filename ?? `attachment-${Number(index) + 1}`).replaceAll("'", '%27');
      reply.header('content-disposition', `attachment; filename*=UTF-8''${name}`);
      return await sendSafely(reply, 'application/octet-stream', "default-src 'none'; sandbox", contentOf(attachment));
    },
  );

  http.post<OneMail & { Body: ReplyBody }>(
    '/practice/messages/:id/reply',
    { schema: { body: ReplyBody } },
    async (request) => {
      const { kept, mail } = await parsed(deps, request);
      if (kept.folder !== 'SENT') throw invalid('id', 'must name a mail that was sent: only its reader can answer');
      const grant = await findGrant(sql, kept.app, kept.grantId);
      if (grant === null) throw new ApiError(404, 'grant.not_found', 'Grant not found.');
      const reply = await composeReply(mail, kept.envelope, request.body);
      const id = await keepReceived(grant, reply.raw);
      return answer(request, {
        id: wireId('prm', id),
        grant_id: grant.id,
        folder: 'INBOX',
        message_id: reply.messageId,
        from: [reply.from],
      });
    },
  );
}

interface MailRequest extends AnyRequest {
  readonly params: { readonly id: string };
}

async function parsed(deps: SendDeps, request: MailRequest): Promise<{ kept: PracticeMail; mail: Email }> {
  const kept = await found(deps, request);
  return { kept, mail: await parseMail(kept.raw) };
}

/** By the id of the list, or by the one that Send Message answered. */
async function found(deps: SendDeps, request: MailRequest): Promise<PracticeMail & { readonly raw: Buffer }> {
  const { id } = request.params;
  const { app } = practiceCaller(request);
  const kept = fromWireId('prm', id) ?? (await idOfSent(deps, app, id));
  const mail = kept === null ? null : await readPracticeMail(deps.sql, app, kept);
  if (mail === null) throw notFound();
  return mail;
}

async function idOfSent(deps: SendDeps, app: number | null, id: string): Promise<string | null> {
  const own = fromWireId('msg', id);
  const message = own === null ? null : await messageById(deps.sql, app, own);
  if (message === null) return null;
  return (await findPracticeMail(deps.sql, message.app, message.grantId, message.messageId))?.id ?? null;
}

function notFound(): ApiError {
  return new ApiError(404, 'api.not_found_error', 'The practice mailbox has no such mail.');
}

function mailToWire(mail: PracticeMail): object {
  return {
    id: wireId('prm', mail.id),
    grant_id: mail.grantId,
    folder: mail.folder,
    message_id: mail.messageId,
    subject: mail.subject,
    from: [mail.from],
    to: mail.to,
    date: Math.floor(mail.receivedAt.getTime() / 1000),
    size: mail.size,
  };
}

async function sendSafely(
  reply: FastifyReply,
  type: string,
  policy: string,
  content: Buffer | string,
): Promise<FastifyReply> {
  return await reply
    .headers({
      'content-type': type,
      'content-security-policy': policy,
      'cache-control': 'no-store',
      'cross-origin-resource-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    })
    .send(content);
}
