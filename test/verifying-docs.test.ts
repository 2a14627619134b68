// Runs the functions of docs/verifying.md as they stand there, against what we really send.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { makeSecret, nylasSignature, signatureHeaders, standardSignature, TEST_SECRET } from '../src/notify/sign.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PAGE = readFileSync(join(ROOT, 'docs/verifying.md'), 'utf8');

interface Case {
  readonly name: string;
  readonly scheme: 'nylas' | 'standard';
  readonly body: Buffer;
  /** Names in lower case. A character up to U+00FF is a byte: what is no UTF-8 reaches languages as they do that. */
  readonly headers: Readonly<Record<string, string>>;
  readonly secret: string;
  /** Unix seconds. */
  readonly now: number;
  readonly holds: boolean;
}

const AT = 1_795_295_583;
const CHECK_BODY = Buffer.from('{"specversion":"1.0","type":"message.opened"}');
const CHECK_VALUE = 'b057977546e32d802b198b88e8ba6f76cbde7e5c3d552b3393585cb18690f31a';

function cases(): readonly Case[] {
  const secret = makeSecret();
  const old = makeSecret();
  const body = Buffer.from('{"type":"message.opened","data":{"subject":"Grüße, 日本 😀","a":"\\u0000"}}');
  const zipped = gzipSync(body);
  const rewritten = Buffer.from(JSON.stringify(JSON.parse(body.toString()), null, 1));
  const headers = sent([secret], body);
  const tested = sent([TEST_SECRET], body);
  const rotated = sent([secret, old], body);
  const fine = { body, headers, secret, now: AT, holds: true };
  const nylas = { ...fine, scheme: 'nylas' } as const;
  const standard = { ...fine, scheme: 'standard' } as const;
  const both = (name: string, change: Partial<Case>): Case[] => [
    { ...nylas, name, ...change },
    { ...standard, name, ...change },
  ];
  return [
    {
      ...nylas,
      name: 'the check value',
      body: CHECK_BODY,
      headers: { 'x-nylas-signature': CHECK_VALUE },
      secret: 'test-secret-01',
    },
    ...both('as sent', {}),
    ...both('compressed', { body: zipped, headers: sent([secret], zipped) }),
    ...both('an empty body', { body: Buffer.alloc(0), headers: sent([secret], Buffer.alloc(0)) }),
    ...both('decompressed on the way', { headers: sent([secret], zipped), holds: false }),
    ...both('another byte', { body: Buffer.from(body.toString().replace('opened', 'Opened')), holds: false }),
    ...both('a newline at the end', { body: Buffer.concat([body, Buffer.from('\n')]), holds: false }),
    ...both('written anew', { body: rewritten, holds: false }),
    ...both('another secret', { secret: makeSecret(), holds: false }),
    ...both('no headers', { headers: {}, holds: false }),
    ...both('empty signatures', {
      headers: changed({ 'x-nylas-signature': '', 'webhook-signature': '' }),
      holds: false,
    }),
    ...both('signatures cut short', {
      headers: changed({
        'x-nylas-signature': String(headers['x-nylas-signature']).slice(0, -1),
        'webhook-signature': String(headers['webhook-signature']).slice(0, -1),
      }),
      holds: false,
    }),
    ...both('signatures of odd characters', {
      headers: changed({ 'x-nylas-signature': 'é'.repeat(32), 'webhook-signature': 'v1,ÿÿ v1,' }),
      holds: false,
    }),
    ...both('a test event', { headers: tested, secret: TEST_SECRET, holds: false }).map((one) => ({
      ...one,
      holds: one.scheme === 'nylas',
    })),
    // Decoded leniently all of these are keys, two of them empty ones, which anybody can sign with.
    ...[TEST_SECRET, 'no base64', 'whsec_', 'whsec_====', 'whsec_é', ''].map((one) => ({
      ...standard,
      name: `the secret ${JSON.stringify(one)}`,
      headers: { ...tested, 'webhook-signature': `v1,${standardSignature(one, { id: 'ntf_1', body, timestamp: AT })}` },
      secret: one,
      holds: false,
    })),
    {
      ...nylas,
      name: 'no secret',
      headers: { 'x-nylas-signature': nylasSignature('', body) },
      secret: '',
      holds: false,
    },
    ...['\u0000', ' '.repeat(9), 'v1', 'v1,', '=', ',,', 'x'.repeat(100_000), '\u00ff\u00fe'].flatMap((garbage) =>
      both(`headers of ${JSON.stringify(garbage.slice(0, 9))}`, {
        headers: Object.fromEntries(Object.keys(headers).map((name) => [name, garbage])),
        holds: false,
      }),
    ),
    ...['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => ({
      ...standard,
      name: `${name} of bytes that are no text`,
      headers: changed({ [name]: '\u00ff\u00fe' }),
      holds: false,
    })),
    ...both('rotated, new secret', { headers: rotated }),
    { ...nylas, name: 'rotated, old secret', headers: rotated, secret: old, holds: false },
    { ...standard, name: 'rotated, old secret', headers: rotated, secret: old },
    { ...standard, name: 'rotated, another secret', headers: rotated, secret: makeSecret(), holds: false },
    { ...standard, name: 'five minutes late', now: AT + 300 },
    { ...standard, name: 'five minutes early', now: AT - 300 },
    { ...standard, name: 'a second later still', now: AT + 301, holds: false },
    { ...standard, name: 'a second earlier still', now: AT - 301, holds: false },
    { ...standard, name: 'an unknown version', headers: versioned('v1a'), holds: false },
    { ...standard, name: 'no version', headers: versioned(''), holds: false },
    { ...standard, name: 'another id', headers: changed({ 'webhook-id': 'ntf_2' }), holds: false },
    { ...standard, name: 'no id', headers: changed({ 'webhook-id': '' }), holds: false },
    { ...standard, name: 'another second', headers: changed({ 'webhook-timestamp': String(AT + 1) }), holds: false },
    ...[String(AT * 1000), '', 'NaN', `${AT}x`, ` ${AT}`, '9'.repeat(30)].map((timestamp) => ({
      ...standard,
      name: `the time stamp ${JSON.stringify(timestamp)}`,
      headers: changed({ 'webhook-timestamp': timestamp }),
      holds: false,
    })),
  ];

  function changed(change: Record<string, string>): Record<string, string> {
    return { ...headers, ...change };
  }

  function versioned(version: string): Record<string, string> {
    return changed({ 'webhook-signature': String(headers['webhook-signature']).replace(/^v1/, version) });
  }
}

/** What arrives, with header names as receivers see them. */
function sent(secrets: readonly string[], body: Buffer): Record<string, string> {
  const headers = signatureHeaders(secrets, { id: 'ntf_1', body, timestamp: AT });
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** Reads cases from standard input and writes a list of booleans. */
interface Language {
  readonly fence: string;
  /** Where the documented code goes, and what calls it. */
  readonly files: (code: string) => Readonly<Record<string, string>>;
  readonly command: readonly [string, ...string[]];
}

const LANGUAGES: Readonly<Record<string, Language>> = {
  Node: {
    fence: 'js',
    files: (code) => ({
      'verify.mjs': code,
      'run.mjs': `
import { readFileSync } from 'node:fs';
import { verifyNylas, verifyStandard } from './verify.mjs';
const cases = JSON.parse(readFileSync(0, 'utf8'));
console.log(JSON.stringify(cases.map(({ scheme, body, headers, secret, now }) =>
  (scheme === 'nylas' ? verifyNylas : verifyStandard)(Buffer.from(body, 'base64'), headers, secret, now))));
`,
    }),
    command: [process.execPath, 'run.mjs'],
  },
  Python: {
    fence: 'python',
    files: (code) => ({
      'verify.py': code,
      'run.py': `
import base64, json, sys
from verify import verify_nylas, verify_standard
def run(case):
    headers = {name: value.encode("latin-1").decode("utf-8", "surrogateescape") for name, value in case["headers"].items()}
    args = [base64.b64decode(case["body"]), headers, case["secret"]]
    return verify_nylas(*args) if case["scheme"] == "nylas" else verify_standard(*args, now=case["now"])
print(json.dumps([run(case) for case in json.load(sys.stdin.buffer)]))
`,
    }),
    command: ['python3', 'run.py'],
  },
  Ruby: {
    fence: 'ruby',
    files: (code) => ({
      'verify.rb': code,
      'run.rb': `
require 'json'
require_relative 'verify'
answers = JSON.parse($stdin.read).map do |c|
  headers = c['headers'].transform_values { |value| value.encode('ISO-8859-1').force_encoding('UTF-8') }
  args = [c['body'].unpack1('m'), headers, c['secret']]
  c['scheme'] == 'nylas' ? verify_nylas(*args) : verify_standard(*args, c['now'])
end
puts answers.to_json
`,
    }),
    command: ['ruby', 'run.rb'],
  },
  Go: {
    fence: 'go',
    files: (code) => ({
      'go.mod': 'module receiver\n\ngo 1.19\n',
      'verify/verify.go': code,
      'main.go': `
package main

import (
	"encoding/json"
	"net/http"
	"os"
	"receiver/verify"
	"time"
)

func main() {
	var cases []struct {
		Scheme, Secret string
		Body           []byte
		Headers        map[string]string
		Now            int64
	}
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	answers := []bool{}
	for _, c := range cases {
		header := http.Header{}
		for name, value := range c.Headers {
			header.Set(name, value)
		}
		if c.Scheme == "nylas" {
			answers = append(answers, verify.Nylas(c.Body, header, c.Secret))
		} else {
			answers = append(answers, verify.Standard(c.Body, header, c.Secret, time.Unix(c.Now, 0)))
		}
	}
	json.NewEncoder(os.Stdout).Encode(answers)
}
`,
    }),
    command: ['go', 'run', '.'],
  },
};

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

describe('docs/verifying.md', () => {
  it('states the check value', () => {
    assert.ok(PAGE.includes(CHECK_BODY.toString()) && PAGE.includes(CHECK_VALUE) && PAGE.includes('test-secret-01'));
  });

  for (const [language, { fence, files, command }] of Object.entries(LANGUAGES)) {
    it(`has functions for ${language} that tell ours from others’`, { skip: missing(command[0]) }, () => {
      const folder = mkdtempSync(join(tmpdir(), 'telltale-verify-'));
      folders.push(folder);
      for (const [name, text] of Object.entries(files(documented(fence)))) {
        mkdirSync(join(folder, dirname(name)), { recursive: true });
        writeFileSync(join(folder, name), text);
      }
      const asked = cases();
      const input = JSON.stringify(asked.map((one) => ({ ...one, body: one.body.toString('base64') })));
      const [program, ...args] = command;
      const ran = spawnSync(program, args, { cwd: folder, input, encoding: 'utf8', env: environment(folder) });
      assert.equal(ran.status, 0, ran.stderr);
      const answers: unknown = JSON.parse(ran.stdout);
      assert.ok(Array.isArray(answers));
      assert.deepEqual(
        asked.map(({ scheme, name }, index) => `${scheme}, ${name}: ${answers[index]}`),
        asked.map(({ scheme, name, holds }) => `${scheme}, ${name}: ${holds}`),
      );
    });
  }
});

/** The one block of that language. */
function documented(fence: string): string {
  const blocks = [...PAGE.matchAll(new RegExp(`^\`\`\`${fence}\n([\\s\\S]*?)^\`\`\`$`, 'gm'))];
  assert.equal(blocks.length, 1, `one block of ${fence}`);
  return blocks[0]?.[1] ?? '';
}

function missing(program: string): string | false {
  const { error } = spawnSync(program, ['--version'], { stdio: 'ignore' });
  return error === undefined ? false : `there is no ${program} on this machine`;
}

/** What compilers and interpreters want to keep stays in the folder; none of them asks the network. */
function environment(folder: string): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '',
    HOME: folder,
    LANG: 'C.UTF-8',
    PYTHONDONTWRITEBYTECODE: '1',
    GOCACHE: join(folder, '.cache'),
    GOFLAGS: '-mod=mod',
    GOPROXY: 'off',
    GOTOOLCHAIN: 'local',
  };
}
