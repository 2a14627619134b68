import assert from 'node:assert/strict';
import { test } from 'node:test';
import { destinationOf } from './destination.ts';

test('a valid ASCII address goes out as it was written', () => {
  const table: [written: string, host: string][] = [
    ['https://espn.com', 'espn.com'],
    ['HTTPS://ESPN.com/%7Ea?b=c&d=%20#e', 'espn.com'],
    ['http://[::1]:8080/x', '[::1]'],
    ["https://example.com/a;b=c,(d)!*'~$@:_.-+", 'example.com'],
    ['mailto:someone@example.com?subject=Hello%20there', ''],
    ['tel:+1-555-0100', ''],
  ];
  for (const [written, host] of table) {
    const destination = destinationOf(written);
    assert.equal(destination?.location, written);
    assert.equal(destination?.host, host);
    assert.equal(destination?.opensProgram, host === '');
  }
});

test('any other address is serialised', () => {
  const table: [written: string, location: string][] = [
    ['https://пример.example/путь?я=да', 'https://xn--e1afmkfd.example/%D0%BF%D1%83%D1%82%D1%8C?%D1%8F=%D0%B4%D0%B0'],
    ['https://example.com/a b', 'https://example.com/a%20b'],
    ['https://example.com/"<>', 'https://example.com/%22%3C%3E'],
    ['https://example.com/?a=100%', 'https://example.com/?a=100%'],
    ['https:example.com/x', 'https://example.com/x'],
    ['https:\\\\example.com\\x', 'https://example.com/x'],
    ['mailto:ünï@example.com?subject=a b', 'mailto:%C3%BCn%C3%AF@example.com?subject=a%20b'],
  ];
  for (const [written, location] of table) assert.equal(destinationOf(written)?.location, location, written);
});

test('what comes out is always visible ASCII', () => {
  for (let code = 0; code < 0x3000; code++) {
    const written = `https://example.com/a${String.fromCharCode(code)}b?${String.fromCharCode(code)}`;
    const destination = destinationOf(written);
    if (destination !== null) assert.match(destination.location, /^https:\/\/example\.com[\x21-\x7e]*$/, `${code}`);
  }
});

test('what must never be redirected to', () => {
  const refused = [
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    'data:text/html,x',
    'ftp://example.com',
    'file:///etc/passwd',
    '//example.com',
    '/path',
    ' https://example.com',
    'https://example.com/\r\nSet-Cookie: a=b',
    'https://example.com/\u0000',
    'https://example.com/\u0085',
    'https://exa mple.com/',
    'https://',
    'java\nscript:alert(1)',
    '',
  ];
  for (const written of refused) assert.equal(destinationOf(written), null, JSON.stringify(written));
});
