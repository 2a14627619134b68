import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../test/support/rewriting.ts';
import { parseKeyring } from '../keyring.ts';
import { linkUrl, pixelUrl, tokenKeys } from '../tracking/token.ts';
import { quotedTokens } from './quoted-token.ts';

const keys = tokenKeys(parseKeyring('3:a younger secret - as good,1:correct horse battery staple'));
const ORIGIN = 'https://t.shop.test';
// With - and _ in its tokens, which some gateways write in ways of their own.
const identity = { app: 7, grant: 4_000_000_001, message: '0193d1a0-8c5b-7d3e-bfff-ffffffffffab' };
const LINK = linkUrl(keys, ORIGIN, { ...identity, link: 2 }, 'https://example.com/path?a=1&b=2');
const PIXEL = pixelUrl(keys, ORIGIN, identity);
const escaped = encodeURIComponent;

const WRAPPED: [name: string, wrap: (url: string) => string][] = [
  ['as sent', (url) => url],
  ['Safe Links', (url) => `https://eur01.safelinks.protection.outlook.com/?url=${escaped(url)}&data=05%7C01%7Ckim`],
  ['Safe Links in HTML', (url) => `https://nam02.safelinks.protection.outlook.com/?url=${escaped(url)}&amp;data=05`],
  [
    'Safe Links twice',
    (url) => `https://a.safelinks.protection.outlook.com/?url=${escaped(`https://b.test/?url=${escaped(url)}`)}`,
  ],
  ['URL Defense, second form', (url) => `https://urldefense.proofpoint.com/v2/url?u=${defended(url)}&d=DwMFaQ&c=x`],
  ['URL Defense, third form', (url) => `https://urldefense.com/v3/__${url}__;!!Abc!xyz$`],
  [
    'Barracuda',
    (url) => `https://linkprotect.cudasvc.com/url?a=${escaped(url).replace(/%../g, (hex) => hex.toLowerCase())}&c=E`,
  ],
  ['Cisco', (url) => `https://secure-web.cisco.com/1abcDEF-_/${escaped(url)}`],
  ['Sophos', (url) => `https://eu.protection.sophos.com/?d=shop.test&u=${Buffer.from(url).toString('base64')}&i=x`],
  ['image proxy of Gmail', (url) => `https://ci3.googleusercontent.com/meips/ADKq_Nb=s0-d-e1-ft#${url}`],
  ['image proxy of Yahoo', (url) => `https://ecp.yusercontent.com/mail?url=${escaped(url)}&t=170000&ymreqid=1`],
  ['entities', (url) => url.replaceAll('/', '&#x2F;').replaceAll('-', '&#45;')],
  ['doubled slashes', (url) => url.replaceAll('/', '//').replace('https:////', 'https://')],
];

function defended(url: string): string {
  return escaped(url).replaceAll('-', '-2D').replaceAll('_', '-5F').replaceAll('%2F', '_').replaceAll('%', '-');
}

const ENCODED: [name: string, encode: (html: string) => Buffer][] = [
  ['7bit', (html) => part('7bit', html)],
  ['quoted-printable', (html) => part('quoted-printable', quotedPrintable(html))],
  ['base64', (html) => part('base64', base64(Buffer.from(html)))],
  ['base64 in long lines', (html) => part('base64', Buffer.from(html).toString('base64'))],
  ['UTF-16', (html) => part('base64', base64(Buffer.from(html, 'utf16le')))],
  ['quoted text', (html) => part('7bit', `On Monday you wrote:\n${wrapped(html)}`)],
];

function part(encoding: string, body: string): Buffer {
  const lines = [
    'From: Kim <kim@customer.test>',
    'Content-Type: multipart/mixed; boundary=b1',
    '',
    '--b1',
    `Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: ${encoding}`,
    '',
    body,
    '--b1--',
    '',
  ];
  return Buffer.from(lines.join('\r\n'), 'latin1');
}

function quotedPrintable(text: string): string {
  return text.replaceAll('=', '=3D').replace(/.{70}(?!\r)/g, '$&=\r\n');
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replace(/.{76}/g, '$&\r\n');
}

/** As an editor that keeps lines short quotes. */
function wrapped(text: string): string {
  return text.replace(/.{72}/g, '$&\n').replace(/^/gm, '>> ').replaceAll('\n', '\r\n');
}

for (const [encoding, encode] of ENCODED) {
  for (const [name, wrap] of WRAPPED) {
    test(`found in ${encoding}: ${name}`, () => {
      for (const url of [LINK, PIXEL]) {
        const raw = encode(`<p>Yes, gladly.</p><blockquote><a href="${wrap(url)}">so</a></blockquote>`);
        const found = quotedTokens(keys, raw);
        assert.deepEqual(
          found.map(({ app, grant, message }) => ({ app, grant, message })),
          [identity],
        );
      }
    });
  }
}

test('these tokens hold what gateways write in ways of their own', () => {
  assert.match(LINK, /\/c\/[\w-]*-/);
  assert.match(LINK + PIXEL, /\/[co]\/[\w-]*_/);
});

test('a message is named once, however many of its links are quoted', () => {
  const links = Array.from({ length: 300 }, (_, link) =>
    linkUrl(keys, ORIGIN, { ...identity, link }, 'https://a.test'),
  );
  const other = { ...identity, message: '0193d1a0-8c5b-7d3e-bfff-ffffffffffac' };
  const raw = part('7bit', [...links, pixelUrl(keys, ORIGIN, other)].join('\r\n'));
  assert.deepEqual(
    quotedTokens(keys, raw).map(({ message }) => message),
    [identity.message, other.message],
  );
});

test('what is not proven is not found', () => {
  const others = tokenKeys(parseKeyring('3:somebody else has this one'));
  const at = LINK.indexOf('/c/') + 20;
  const forged = LINK.slice(0, at) + (LINK[at] === 'A' ? 'B' : 'A') + LINK.slice(at + 1);
  for (const url of [
    forged,
    linkUrl(others, ORIGIN, { ...identity, link: 0 }, 'https://a.test'),
    LINK.slice(0, 70),
    '',
  ]) {
    assert.deepEqual(quotedTokens(keys, part('7bit', url)), []);
  }
});

test('a mail that was cut anywhere is read as far as it goes', () => {
  const raw = part('base64', base64(Buffer.from(`<p>${'x'.repeat(500)}</p><a href="${LINK}">so</a>`)));
  for (let length = 0; length <= raw.length; length += 7) quotedTokens(keys, raw.subarray(0, length));
  const far = Buffer.concat([Buffer.alloc(300_000, 'x\r\n'), raw]);
  assert.deepEqual(quotedTokens(keys, far), [], 'beyond what is looked through');
});

test('hostile text costs linear time', () => {
  const size = 256 * 1024;
  const fill = (text: string): Buffer => Buffer.from(text.repeat(Math.ceil(size / text.length)).slice(0, size));
  const random = seededRandom(3);
  const hostile = [
    ' ',
    '\t \n',
    '>',
    '\n>',
    '=\r\n',
    '%25',
    '%2',
    '&#x0000',
    '&#47;',
    '/c/',
    '/c//////',
    `/c/${'A'.repeat(80)}`,
    `/o/${LINK.slice(-59)}\n`,
    'aHR0c',
    `/v2/url?u=${'-2F'.repeat(1000)}`,
    'A',
    `${'A'.repeat(76)}\r\n`,
    '\0',
  ].map(fill);
  hostile.push(Buffer.from(Array.from({ length: size }, () => random() * 256)));
  for (const raw of hostile) {
    const start = performance.now();
    quotedTokens(keys, raw);
    const ms = performance.now() - start;
    assert.ok(ms < 1_000, `${JSON.stringify(raw.toString('latin1', 0, 20))}: ${Math.round(ms)} ms`);
  }
});
