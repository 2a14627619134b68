import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseCaptured } from './captured-request.ts';
import { count, type LoneCommand, type LoneContext, type Options, Refused, UsageError } from './command.ts';
import { checkSignatures, type Evidence, type Standard, type Verdict } from './signature-check.ts';
import { facts } from './table.ts';

const LARGEST = 16 * 1024 * 1024; // deliveries have at most one MB

export const verify: LoneCommand = {
  words: ['verify'],
  usage: 'REQUEST',
  summary: 'say whether the signatures of a captured delivery hold, and if not, why',
  options: ['secret', 'secret-file', 'signature', 'id', 'timestamp', 'webhook-signature'],
  check(input, options) {
    count(1)(input);
    if (options.secret !== undefined && options['secret-file'] !== undefined)
      throw new UsageError('--secret and --secret-file are two secrets.');
    const three = [options.id, options.timestamp, options['webhook-signature']];
    if (three.includes(undefined) && three.some((one) => one !== undefined))
      throw new UsageError('--id, --timestamp and --webhook-signature belong together.');
  },
  async runAlone(context, [file = '']) {
    const secret = await secretOf(context);
    const bytes = file === '-' ? await readAll(context.input) : await readFrom(context, file);
    const { evidence, notes } = isBodyAlone(context.options) ? bodyAlone(bytes, context.options) : captured(bytes);
    const verdicts = checkSignatures(evidence, secret, context.now());
    if (verdicts.length === 0) throw new Refused('There is no X-Nylas-Signature and no webhook-signature in it.');
    const holds = verdicts.every((verdict) => verdict.holds);
    return {
      json: { holds, body_bytes: evidence.body.length, signatures: verdicts, notes },
      text: [facts(verdicts.map((verdict) => [verdict.header, spoken(verdict)])), ...notes].join('\n'),
      no: !holds,
    };
  },
};

function spoken({ holds, reason, note }: Verdict): string {
  if (!holds) return `does not hold: ${reason}`;
  return note === null ? 'holds' : `holds (${note})`;
}

/** As it was given, without the line end that a file has. */
async function secretOf(context: LoneContext): Promise<string> {
  const { secret: typed, 'secret-file': file } = context.options;
  const secret =
    typed ?? (file === undefined ? context.env.WEBHOOK_SECRET : (await readFrom(context, file)).toString('utf8'));
  if (secret === undefined) throw new UsageError('Set WEBHOOK_SECRET, or give --secret-file FILE or --secret TEXT.');
  const text = file === undefined ? secret : secret.replace(/\r?\n$/, '');
  if (text.trim() === '') throw new Refused('The secret is empty.');
  return text;
}

/** `npm run` works in the package's folder, the user in another. */
async function readFrom({ env }: LoneContext, file: string): Promise<Buffer> {
  try {
    return await readAll((await open(resolve(env.INIT_CWD ?? '', file))).createReadStream());
  } catch (error) {
    if (error instanceof Refused) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new Refused(`"${file}" cannot be read (${code}).`);
  }
}

async function readAll(input: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of input) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > LARGEST) throw new Refused(`That is more than ${LARGEST / 1024 / 1024} MB and no delivery.`);
  }
  return Buffer.concat(chunks);
}

interface Read {
  readonly evidence: Evidence;
  readonly notes: readonly string[];
}

function isBodyAlone({ signature, id }: Options): boolean {
  return signature !== undefined || id !== undefined;
}

function bodyAlone(body: Buffer, options: Options): Read {
  const { signature, id = '', timestamp = '', 'webhook-signature': standard } = options;
  return {
    evidence: {
      body,
      uncut: body,
      contentEncoding: '',
      nylas: signature?.trim() ?? null,
      standard: standard === undefined ? null : { id, timestamp, signature: standard.trim() },
    },
    notes: [],
  };
}

function captured(bytes: Buffer): Read {
  const request = parseCaptured(bytes);
  if (typeof request === 'string') throw new Refused(request);
  const { headers, body, uncut, notes } = request;
  const contentEncoding = headers.get('content-encoding') ?? '';
  const nylas = headers.get('x-nylas-signature') ?? null;
  return { evidence: { body, uncut, contentEncoding, nylas, standard: standardOf(headers) }, notes };
}

function standardOf(headers: ReadonlyMap<string, string>): Standard | null {
  const [id, timestamp, signature] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map(
    (name) => headers.get(name) ?? '',
  );
  if (!id && !timestamp && !signature) return null;
  return { id: id ?? '', timestamp: timestamp ?? '', signature: signature ?? '' };
}
