// Mail as it comes into a mailbox: of people, machines and lists, with the heads that servers on the way leave on it.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A tracked message that is open. */
export interface Original {
  /** With angle brackets. */
  readonly messageId: string;
  readonly subject: string;
}

/** How a reply shows what it answers. `quote`: by nothing in its head, only by the pixel's address in what it quotes. */
export type Reference = 'in-reply-to' | 'references' | { readonly quote: string };

const CORPUS = fileURLToPath(new URL('../../../bench/corpus/', import.meta.url));
const PAGES = ['invitation', 'newsletter', 'product-launch', 'react-activity', 'receipt', 'react-invoice'].map(page);
const LETTERS = ['reply-outlook', 'thread-gmail', 'react-letter', 'vml-button', 'thread-forward'].map(page);
const WORDS =
  'a contract for the second quarter and some words more that people write when they answer each other'.split(' ');

/** Answers an original; written by somebody else. */
export function replyTo(owner: string, original: Original, reference: Reference = 'in-reply-to'): string {
  const quoted = typeof reference === 'object' ? `<blockquote>Hello<img src="${reference.quote}"></blockquote>` : '';
  const lines = [
    ...way(),
    `From: Kim Petersen <kim.${noise(4)}@customer.example>`,
    `To: <${owner}>`,
    `Subject: Re: ${original.subject}`,
    ...(reference === 'in-reply-to' ? [`In-Reply-To: ${original.messageId}`] : []),
    ...(typeof reference === 'string' ? [`References: <${noise(12)}@customer.example>\r\n ${original.messageId}`] : []),
    ...written('customer.example'),
    'Content-Type: text/html; charset=utf-8',
  ];
  return `${lines.join('\r\n')}\r\n\r\n<p>Yes, let us do that.</p>${quoted}\r\n`;
}

/** Something else, the kind by its number: lists, notices, people, a machine's answers and bounces of foreign mail now and then. */
export function otherMail(owner: string, number: number): string {
  const kind = number % 100;
  if (kind === 0) return foreignBounce(owner);
  if (kind < 45) return bulk(owner, number);
  if (kind < 65) return notice(owner, number);
  return letter(owner, number, kind);
}

function bulk(owner: string, number: number): string {
  const list = `list${number % 37}.example`;
  const lines = [
    ...way(),
    `From: "The ${phrase(2)} team" <news@${list}>`,
    `To: <${owner}>`,
    `Subject: =?utf-8?Q?${phrase(5).replaceAll(' ', '_')}_=E2=80=93_now?=`,
    `List-Id: <news.${list}>`,
    `List-Unsubscribe: <https://${list}/u/${noise(60)}>, <mailto:u-${noise(20)}@${list}>`,
    'List-Unsubscribe-Post: List-Unsubscribe=One-Click',
    'Precedence: bulk',
    `Feedback-ID: ${noise(6)}:${noise(6)}:campaign:esp`,
    `X-Campaign: ${noise(300)}`,
    ...written(list),
    'Content-Type: text/html; charset=utf-8',
  ];
  return `${lines.join('\r\n')}\r\n\r\n${PAGES[number % PAGES.length]}\r\n`;
}

function notice(owner: string, number: number): string {
  const lines = [
    ...way(),
    `From: ${phrase(2)} <no-reply@tool${number % 11}.example>`,
    `To: <${owner}>`,
    `Subject: [${phrase(1)}] ${phrase(6)} (#${number})`,
    `References: <issue/${number % 900}@tool.example>`,
    `In-Reply-To: <issue/${number % 900}@tool.example>`,
    'Auto-Submitted: auto-generated',
    ...written('tool.example'),
    'Content-Type: text/html; charset=utf-8',
  ];
  return `${lines.join('\r\n')}\r\n\r\n${PAGES[(number + 3) % PAGES.length]}\r\n`;
}

function letter(owner: string, number: number, kind: number): string {
  const isAnswer = kind >= 80;
  const thread = Array.from({ length: isAnswer ? 1 + (number % 12) : 0 }, () => `<${noise(24)}@mail.example.net>`);
  const lines = [
    ...way(),
    `From: ${phrase(2)} <${noise(6)}@company${number % 61}.example>`,
    `To: <${owner}>, Somebody Else <else@company.example>`,
    // Of these some bear the subject of an open message without answering it.
    `Subject: ${isAnswer ? 'Re: ' : ''}${kind === 80 ? 'Renewal 3' : phrase(5)}`,
    ...(isAnswer ? [`In-Reply-To: ${thread.at(-1)}`, `References: ${thread.join('\r\n ')}`] : []),
    ...(kind === 99 ? ['Auto-Submitted: auto-replied', 'X-Autoreply: yes'] : []),
    ...written('company.example'),
    'Content-Type: text/html; charset=utf-8',
  ];
  return `${lines.join('\r\n')}\r\n\r\n${LETTERS[number % LETTERS.length]}\r\n`;
}

function foreignBounce(owner: string): string {
  const boundary = noise(20);
  const lines = [
    ...way(),
    'Return-Path: <>',
    'From: Mail Delivery System <mailer-daemon@relay.example>',
    `To: <${owner}>`,
    'Subject: Undelivered Mail Returned to Sender',
    'Auto-Submitted: auto-replied',
    ...written('relay.example'),
    `Content-Type: multipart/report; report-type=delivery-status; boundary="${boundary}"`,
  ];
  const parts = [
    'Content-Type: text/plain\r\n\r\nYour mail could not be delivered.',
    'Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; relay.example\r\n\r\n' +
      'Final-Recipient: rfc822; gone@elsewhere.example\r\nAction: failed\r\nStatus: 5.1.1\r\n' +
      'Diagnostic-Code: smtp; 550 5.1.1 no such user',
    `Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <${noise(20)}@not-ours.example>\r\nSubject: ${phrase(4)}`,
  ];
  return `${lines.join('\r\n')}\r\n\r\n${parts.map((part) => `--${boundary}\r\n${part}\r\n`).join('')}--${boundary}--\r\n`;
}

/** 1.5 to 7 kB: what three to five servers and their filters put before a mail. */
function way(): string[] {
  const hops = 3 + ((randomBytes(1)[0] ?? 0) % 3);
  const received = Array.from(
    { length: hops },
    (_, hop) =>
      `Received: from mx${hop}.${noise(8)}.example (mx${hop}.example [198.51.100.${hop}])\r\n` +
      `\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n\tby in${hop}.example with ESMTPS id ${noise(14)}\r\n` +
      `\tfor <owner@example.test>; ${new Date().toUTCString()}`,
  );
  const arc = Array.from({ length: hops - 3 }, (_, at) => [
    `ARC-Seal: i=${at + 1}; a=rsa-sha256; t=1763800000; cv=pass; d=example.net; s=arc;\r\n        b=${folded(340)}`,
    `ARC-Message-Signature: i=${at + 1}; a=rsa-sha256; c=relaxed/relaxed; d=example.net;\r\n        b=${folded(340)}`,
  ]).flat();
  return [
    ...received,
    ...arc,
    'Authentication-Results: mx.example; dkim=pass header.i=@example; spf=pass; dmarc=pass (p=REJECT) header.from=example',
    `DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example; s=s1;\r\n        h=from:to:subject:date:message-id;\r\n        bh=${noise(44)};\r\n        b=${folded(340)}`,
    ...(hops > 4
      ? [`X-MS-Exchange-AntiSpam-MessageData-0:\r\n ${folded(1800)}`, `X-Microsoft-Antispam: BCL:0;${folded(700)}`]
      : []),
  ];
}

function written(domain: string): string[] {
  const date = new Date().toUTCString().replace('GMT', '+0000');
  return [`Date: ${date}`, `Message-ID: <${noise(22)}@${domain}>`, 'MIME-Version: 1.0', `X-Mailer: Mailer ${noise(3)}`];
}

function folded(length: number): string {
  return (noise(length).match(/.{1,70}/g) ?? []).join('\r\n         ');
}

function noise(length: number): string {
  return randomBytes(length).toString('hex').slice(0, length);
}

function phrase(words: number): string {
  const from = (randomBytes(1)[0] ?? 0) % (WORDS.length - words);
  return WORDS.slice(from, from + words).join(' ');
}

function page(name: string): string {
  return readFileSync(`${CORPUS}${name}.html`, 'utf8').replaceAll(/\r?\n/g, '\r\n');
}
