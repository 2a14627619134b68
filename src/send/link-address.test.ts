import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seededRandom } from '../../test/support/rewriting.ts';
import { hasSecretParameter } from './credentials.ts';
import { isTrackable, linkPolicy, MAX_URL_LENGTH, readAddress } from './link-address.ts';
import { STRONG_SECRET_PARAMETERS, WEAK_SECRET_LENGTH, WEAK_SECRET_PARAMETERS } from './secret-parameters.ts';

const policy = linkPolicy(['https', 'mailto', 'tel'], []);

function verdicts(expected: boolean, addresses: readonly string[]): void {
  for (const address of addresses) {
    test(address, () => assert.equal(isTrackable(address, policy), expected));
  }
}

describe('reading a value', () => {
  const cases: readonly (readonly [raw: string, address: string | null])[] = [
    [' \t\r\n\fhttps://x.example \n', 'https://x.example'],
    ['https://x.\r\nexample/\ta', 'https://x.example/a'],
    ['https://x.example/a b', 'https://x.example/a b'],
    ['https://x.example/\u00a0', 'https://x.example/\u00a0'],
    ['https&colon;//x.example?a&amp;b&lt=1', 'https://x.example?a&b&lt=1'],
    ['', null],
    [' \n ', null],
    ['https://x.example/\0', null],
    ['https://x.example/\x1b', null],
    ['https://x.example/\x7f', null],
    ['https://x.example/\x85', null],
    ['https://x.example/&#1;', null],
    ['https://x.example/\ud800', null],
    ['https://x.example/🎉', 'https://x.example/🎉'],
    [`https://${'x'.repeat(MAX_URL_LENGTH - 8)}`, `https://${'x'.repeat(MAX_URL_LENGTH - 8)}`],
    [`https://${'x'.repeat(MAX_URL_LENGTH - 7)}`, null],
  ];
  for (const [raw, address] of cases) {
    test(JSON.stringify(raw.slice(0, 40)), () => assert.equal(readAddress(raw), address));
  }
});

describe('tracked', () => {
  verdicts(true, [
    'https://espn.com',
    'HTTPS://ESPN.com',
    'https://x.example:8443/a?b=c#d',
    'https://192.0.2.7/',
    'https://[2001:db8::1]/',
    'https://localhost/',
    'https://xn--mller-kva.example/',
    'https://müller.example/größe',
    'https://under_score.example/',
    'https://x.example/{{path}}?name=*|FNAME|*&x=%%x%%',
    'https://x.example/a b',
    'https://x.example/a@b',
    'https://x.example?u=a@b',
    'mailto:a@b.example',
    'mailto:a@b.example?subject=a&body={{x}}',
    'mailto:?subject=Look',
    'tel:+1-201-555-0123',
    'tel:+1 201 555 0123',
    'https://x.example/forms/d/1',
    'https://docs.google.com/document/d/1',
    'https://docs.google.com/formsx',
    'https://x.example/?u=docs.google.com/forms/',
  ]);
});

describe('left as written', () => {
  verdicts(false, [
    'zoommtg://zoom.us/join?confno=12345',
    'http://x.example/',
    'ftp://x.example/',
    'cid:image001@x',
    'sms:+491555',
    'javascript:alert(1)',
    '#top',
    '/path',
    'page.html',
    'www.google.com',
    '//x.example/path',
    'https:',
    'https://',
    'https:/x.example',
    'https:x.example',
    'https:\\\\x.example',
    'https:///x.example',
    'https://?x',
    'https://#x',
    'https://x y.example/',
    'https://x.example:99999/',
    'https://1.2.3.999/',
    'https://[::g]/',
    'https://../',
    '{{url}}',
    '{{scheme}}://x.example',
    'https://{{host}}/a',
    'https://a.{{domain}}/a',
    'https://\u0024{host}/a',
    'https://*|HOST|*/a',
    'https://%%host%%/a',
    'https://[[host]]/a',
    'https://<%= host %>/a',
    'https://%7B%7Bhost%7D%7D/',
    '*|URL|*',
    '%%url%%',
    'mailto:',
    'mailto:{{email}}',
    'mailto:*|EMAIL|*?subject=x',
    'tel:',
    'tel:%%phone%%',
    'https://user:pass@x.example/',
    'https://user@x.example/',
    'https://@x.example/',
    'https://:@x.example/',
    'https://user:p%40ss@x.example/',
    'https://docs.google.com/forms/d/e/1FAIpQL/viewform',
    'https://docs.google.com/forms',
    'https://DOCS.google.com/forms/u/0/d/1/edit',
    'https://docs.google.com:443/forms/d/1',
    'https://docs.google.com/a/corp.example/forms/d/1/viewform',
    'https://docs.goog%6ce.com/forms/d/1',
  ]);
});

const LONG = 'a'.repeat(WEAK_SECRET_LENGTH);

describe('strong secret parameters', () => {
  for (const name of STRONG_SECRET_PARAMETERS) {
    test(name, () => {
      assert.equal(name, name.toLowerCase());
      for (const part of [`${name}=1`, `${name}=`, name, `a=b&${name.toUpperCase()}=1`]) {
        assert.equal(isTrackable(`https://x.example/?${part}`, policy), false, part);
        assert.equal(isTrackable(`https://x.example/#${part}`, policy), false, part);
      }
      assert.equal(isTrackable(`https://x.example/${name}/x?x${name}=1&${name}x=2&x=${name}`, policy), true);
    });
  }
});

describe('weak secret parameters', () => {
  for (const name of WEAK_SECRET_PARAMETERS) {
    test(name, () => {
      assert.equal(name, name.toLowerCase());
      assert.ok(!STRONG_SECRET_PARAMETERS.includes(name));
      for (const part of [`${name}=${LONG}`, `a=b&${name.toUpperCase()}=${LONG}&c=d`]) {
        assert.equal(isTrackable(`https://x.example/?${part}`, policy), false, part);
        assert.equal(isTrackable(`https://x.example/#${part}`, policy), false, part);
      }
      assert.equal(isTrackable(`https://x.example/?${name}=${LONG.slice(1)}&x=${LONG}`, policy), true);
    });
  }
});

describe('how parameters are read', () => {
  verdicts(false, [
    'https://x.example/?%61ccess_token=1',
    'https://x.example/?access%5Ftoken=1',
    'https://x.example/?a=1;access_token=1',
    'https://x.example/?a=1&amp;access_token=1',
    'https://x.example/?a?access_token=1',
    'https://x.example/#/reset?access_token=1',
    'https://x.example/#/reset/access_token=1',
    'https://x.example/?a#b&access_token=1',
    `https://x.example/?token=${'%61'.repeat(16)}`,
    'mailto:a@b.example?password=1',
  ]);
  verdicts(true, [
    `https://x.example/?token=${'%61'.repeat(15)}`,
    'https://x.example/?a=access_token=1',
    'https://x.example/?%zz=1&%E0%A4%A=2',
    `https://x.example/?state=${LONG}`,
  ]);
});

function pieces(random: () => number, parts: readonly string[]): string {
  return Array.from({ length: 1 + random() * 7 }, () => parts[Math.floor(random() * parts.length)]).join('');
}

test('the short cut for parameters agrees with taking the address apart', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  const random = seededRandom(seed);
  const parts = [...'?#&;=/%+ ', '%74', 'TOK', '\u212aey', 'x', '-', 'pwd', 'token', 'jwt', LONG];
  const noName = new Set(['no such name']);
  let secrets = 0;
  for (let i = 0; i < 50_000; i++) {
    const address = `https://x.example/${pieces(random, parts)}`;
    const expected = hasSecretParameter(address, noName);
    assert.equal(hasSecretParameter(address, new Set()), expected, `${address} (SEED=${seed})`);
    if (expected) secrets++;
  }
  assert.ok(secrets > 100, `${secrets} secrets`);
});

test('the short cut for mailto and tel agrees with the URL parser', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  const random = seededRandom(seed);
  const parts = ['/', '\\', '?', '#', '@', ':', '[', '%', '%zz', ' ', 'a', 'é', '^', '99999'];
  for (let i = 0; i < 20_000; i++) {
    const address = `${random() < 0.5 ? 'mailto' : 'tel'}:${pieces(random, parts)}`;
    if (isTrackable(address, policy)) assert.ok(URL.canParse(address), `${address} (SEED=${seed})`);
  }
});

test('the short cut for plain addresses agrees with the URL parser', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  const random = seededRandom(seed);
  const parts = [
    'a',
    'b1',
    '1',
    '0x7f',
    '255',
    '.',
    '-',
    'xn--',
    'xn--a',
    'com',
    'co',
    ':',
    ':80',
    '/',
    '?',
    '#',
    '%',
    'a@',
    '_',
    '~',
  ];
  for (let i = 0; i < 20_000; i++) {
    const address = `https://${pieces(random, parts)}`;
    if (isTrackable(address, policy)) assert.ok(URL.canParse(address), `${address} (SEED=${seed})`);
  }
});
