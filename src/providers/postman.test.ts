import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { certificate } from '../../test/support/certificate.ts';
import { type LetterBox, type LetterBoxOptions, startLetterBox } from '../../test/support/letter-box.ts';
import { type Letter, makePostman, type Posted } from './postman.ts';

const FROM = 'Telltale <telltale@example.com>';
const LOGIN = { user: 'ann@example.com', password: 'p@ss:w/ord%' };
const LETTER: Letter = {
  id: 'c0ffee',
  to: ['ops@example.com', 'dev@example.com'],
  subject: 'The webhook “Größe” of shop is failing',
  text: 'Address: https://receiver.test/hook\n\nÄnderung\n',
  date: new Date('2026-11-22T03:04:05Z'),
};

const never = (): AbortSignal => new AbortController().signal;

async function box(t: TestContext, options?: LetterBoxOptions): Promise<LetterBox> {
  const made = await startLetterBox(options);
  t.after(() => made.close());
  return made;
}

function send(url: string, ca: string | null = null, letter = LETTER): Promise<Posted> {
  return makePostman({ url, from: FROM, ca }).send(letter, never());
}

function withLogin(scheme: string, host: string, port: number): string {
  return `${scheme}://${encodeURIComponent(LOGIN.user)}:${encodeURIComponent(LOGIN.password)}@${host}:${port}`;
}

test('a letter says that a machine wrote it, and has the Message-ID of its id', async (t) => {
  const { port, letters, recipients } = await box(t);
  assert.deepEqual(await send(`smtp://127.0.0.1:${port}`), { kind: 'taken', refused: 0 });
  const [letter = ''] = letters;
  assert.match(letter, /^From: Telltale <telltale@example\.com>\r$/m);
  assert.match(letter, /^To: ops@example\.com, dev@example\.com\r$/m);
  assert.match(letter, /^Message-ID: <c0ffee@example\.com>\r$/m);
  assert.match(letter, /^Auto-Submitted: auto-generated\r$/m);
  assert.match(letter, /^Date: Sun, 22 Nov 2026 03:04:05 \+0000\r$/m);
  assert.match(letter, /^Content-Type: text\/plain; charset=utf-8\r$/m);
  assert.deepEqual(recipients, [['ops@example.com', 'dev@example.com']]);
});

test('a subject and a recipient cannot bring headers or further recipients along', async (t) => {
  const { port, letters, recipients } = await box(t);
  const letter = { ...LETTER, subject: 'a\r\nBcc: eve@example.com\r\n\r\nb', to: ['ops@example.com, eve@example.com'] };
  await send(`smtp://127.0.0.1:${port}`, null, letter);
  assert.equal(recipients.flat().includes('eve@example.com'), false);
  assert.doesNotMatch(letters.join(), /^(Bcc|b)/m);
});

test('credentials are those of the URL, and go to another machine only over TLS', async (t) => {
  const plain = await box(t, { login: LOGIN });
  assert.equal((await send(withLogin('smtp', 'localhost', plain.port))).kind, 'taken');
  assert.deepEqual(plain.logins, [{ password: LOGIN.password, isTls: false }]);
  // Not seen to be this machine: as any other one.
  const refused = await send(withLogin('smtp', '[::ffff:127.0.0.1]', plain.port));
  assert.match('reason' in refused ? refused.reason : '', /STARTTLS/);
  assert.equal(plain.logins.length, 1);

  const starttls = await box(t, { security: 'starttls', login: LOGIN });
  assert.equal((await send(withLogin('smtp', '127.0.0.1', starttls.port))).kind, 'taken'); // a home-made certificate
  assert.deepEqual(starttls.logins, [{ password: LOGIN.password, isTls: true }]);
  const unknown = await send(withLogin('smtp', '[::ffff:127.0.0.1]', starttls.port));
  assert.match('reason' in unknown ? unknown.reason : '', /certificate is not trusted/);
  assert.equal(starttls.logins.length, 1);
});

test('certificates are checked, with the operator’s own authorities beside the usual ones', async (t) => {
  const { port, logins } = await box(t, { security: 'tls', login: LOGIN });
  const untrusted = await send(withLogin('smtps', 'localhost', port));
  assert.match('reason' in untrusted ? untrusted.reason : '', /certificate is not trusted/);
  const named = await send(withLogin('smtps', 'localhost', port), certificate.cert); // it is for receiver.test
  assert.match('reason' in named ? named.reason : '', /certificate is for other host names/);
  assert.deepEqual(logins, []);
});

test('a login that is refused is said without its password', async (t) => {
  const { port } = await box(t, { login: { ...LOGIN, password: 'another' } });
  const refused = await send(withLogin('smtp', '127.0.0.1', port));
  assert.match('reason' in refused ? refused.reason : '', /535 5\.7\.8 Wrong credentials/);
  assert.doesNotMatch(JSON.stringify(refused), /w\/ord/);
});

test('what the server says of the letter is the outcome; it is given when one recipient takes it', async (t) => {
  const { port, answer, refuse, letters } = await box(t);
  const url = `smtp://127.0.0.1:${port}`;
  answer({ code: 451, text: '4.3.0 Later, ops@example.com' });
  const later = await send(url);
  assert.match('reason' in later ? later.reason : '', /451 4\.3\.0 Later, \(address\)$/);
  answer(null);
  refuse((address) => address === 'dev@example.com');
  assert.deepEqual(await send(url), { kind: 'taken', refused: 1 });
  refuse(() => true);
  assert.equal((await send(url)).kind, 'failed');
  assert.equal(letters.length, 1);
});

test('a server that is not there, or falls silent, or a service that stops, ends the attempt', async (t) => {
  const gone = await startLetterBox();
  await gone.close();
  const refused = await send(`smtp://127.0.0.1:${gone.port}`);
  assert.match('reason' in refused ? refused.reason : '', /ECONNREFUSED/);
  const { port, answer, given } = await box(t);
  answer('hang');
  const url = `smtp://127.0.0.1:${port}`;
  const late = await makePostman({ url, from: FROM, ca: null, deadlineMs: 50 }).send(LETTER, never());
  assert.equal(late.kind, 'failed');
  const stopping = new AbortController();
  const sending = makePostman({ url, from: FROM, ca: null }).send(LETTER, stopping.signal);
  await given();
  stopping.abort(new Error('stopping'));
  assert.equal((await sending).kind, 'failed');
});
