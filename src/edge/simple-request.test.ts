import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSimpleRequest } from './simple-request.ts';

const read = (text: string) => readSimpleRequest(Buffer.from(text, 'latin1'), '192.0.2.1');
const HOST = 'Host: t.example.com\r\n';

test('reads what mail programs send', () => {
  assert.deepEqual(
    read(`GET /o/abc.gif?x HTTP/1.1\r\n${HOST}User-Agent:  Ma\xefl/1 \r\nX-Empty:\r\nConnection: Keep-Alive\r\n\r\n`),
    {
      method: 'GET',
      target: '/o/abc.gif?x',
      rawHeaders: ['Host', 't.example.com', 'User-Agent', 'Ma\xefl/1', 'X-Empty', '', 'Connection', 'Keep-Alive'],
      peer: '192.0.2.1',
    },
  );
  assert.equal(read(`GET /c/abc/def HTTP/1.1\r\n${HOST}\r\n`)?.target, '/c/abc/def');
});

test('leaves everything else to node:http', () => {
  const line = 'GET /o/a HTTP/1.1\r\n';
  const others: Record<string, string> = {
    'another method': `HEAD /o/a HTTP/1.1\r\n${HOST}\r\n`,
    'another path': `GET /v3/x HTTP/1.1\r\n${HOST}\r\n`,
    'another version': `GET /o/a HTTP/1.0\r\n${HOST}\r\n`,
    'no host': `${line}Accept: */*\r\n\r\n`,
    'two hosts': `${line}${HOST}${HOST}\r\n`,
    'a part': `${line}${HOST}`,
    'less than a line': 'GET /o/',
    'two requests': `${line}${HOST}\r\n${line}${HOST}\r\n`,
    'something after it': `${line}${HOST}\r\n\r\n`,
    'an empty line before it': `\r\n${line}${HOST}\r\n`,
    'a body': `${line}${HOST}Content-Length: 1\r\n\r\n`,
    'a chunked body': `${line}${HOST}transfer-encoding: chunked\r\n\r\n`,
    'the wish to close': `${line}${HOST}Connection: close\r\n\r\n`,
    'another wish': `${line}${HOST}Connection: keep-alive, x\r\n\r\n`,
    upgrade: `${line}${HOST}Upgrade: websocket\r\n\r\n`,
    expectation: `${line}${HOST}Expect: 100-continue\r\n\r\n`,
    'a folded line': `${line}${HOST}X-A: b\r\n c\r\n\r\n`,
    'a space before the colon': `${line}${HOST}X-A : b\r\n\r\n`,
    'a nameless header': `${line}${HOST}: b\r\n\r\n`,
    'no colon': `${line}${HOST}abc\r\n\r\n`,
    'a bare line feed': `${line}${HOST}X-A: b\nX-B: c\r\n\r\n`,
    'a bare carriage return': `${line}${HOST}X-A: b\rX-B: c\r\n\r\n`,
    'NUL in a value': `${line}${HOST}X-A: \0\r\n\r\n`,
    'a space in the target': `GET /o/a b HTTP/1.1\r\n${HOST}\r\n`,
    'a byte above 127 in the target': `GET /o/\xe4 HTTP/1.1\r\n${HOST}\r\n`,
    'line feeds only': 'GET /o/a HTTP/1.1\nHost: x\n\n',
    'very long': `${line}${HOST}X-A: ${'a'.repeat(5000)}\r\n\r\n`,
    nothing: '',
  };
  for (const [name, text] of Object.entries(others)) assert.equal(read(text), null, name);
});

test('takes linear time', () => {
  const started = performance.now();
  for (let i = 0; i < 200; i++) {
    read(`GET /o/a HTTP/1.1\r\n${'A:'.repeat(2000)}\r\n`);
    read(`GET /o/${'a'.repeat(4000)}\n`);
    read(`GET /o/a HTTP/1.1\r\n${'a: b\r\n'.repeat(600)}x\n`);
  }
  assert.ok(performance.now() - started < 1000);
});
