// What people are told about a destination: short, in plain text, without what only the application should know.
import { COUNTED_TO } from './counters.ts';
import type { DestinationKind } from './destination.ts';

export interface LastFailure {
  readonly at: Date;
  /** An outcome's kind. */
  readonly outcome: string;
  readonly status: number | null;
  readonly answer: string;
}

export interface NoticeFacts {
  readonly status: 'failing' | 'failed';
  readonly kind: DestinationKind;
  /** In its wire form. */
  readonly id: string;
  readonly address: string;
  readonly description: string;
  readonly application: string;
  readonly publicUrl: string;
  /** When it was called so. */
  readonly at: Date;
  readonly lastSuccessAt: Date | null;
  readonly last: LastFailure | null;
  readonly pending: number;
  readonly held: number;
}

const KINDS = {
  webhook: { noun: 'webhook', path: '/v3/webhooks' },
  pubsub: { noun: 'Pub/Sub channel', path: '/v3/channels/pubsub' },
} satisfies Record<DestinationKind, object>;
const LONGEST_LINE = 200;

export function writeNotice(facts: NoticeFacts): { readonly subject: string; readonly text: string } {
  const { noun, path } = KINDS[facts.kind];
  const where = withoutSecrets(facts.address);
  const description = firstLine(facts.description);
  const application = firstLine(facts.application);
  const verb = facts.status === 'failing' ? 'is failing' : 'has failed';
  const api = `${facts.publicUrl}${path}/${facts.id}`;
  const known = [
    `Address: ${where}`,
    `Id: ${facts.id}`,
    `Called ${facts.status}: ${minuteOf(facts.at)}`,
    `Last success: ${facts.lastSuccessAt === null ? 'never' : minuteOf(facts.lastSuccessAt)}`,
    ...(facts.last === null ? [] : [`Last failure on record: ${failure(facts.last)}`]),
    `Notifications that wait: ${figure(facts.pending)}`,
    ...(facts.held === 0 ? [] : [`Notifications put aside: ${figure(facts.held)}`]),
  ];
  return {
    subject: `${noun[0]?.toUpperCase()}${noun.slice(1)} ${verb}: ${description || where} (${application})`,
    text: [
      `A ${noun} of the application ${application} ${verb}${description === '' ? '.' : `:\n${description}`}`,
      known.join('\n'),
      ...(facts.status === 'failing' ? FAILING : failed(api)),
    ]
      .join('\n\n')
      .concat('\n'),
  };
}

const FAILING = [
  `Almost no attempt to deliver to it succeeds. Telltale goes on trying, ever
more rarely. When it answers again, it is active again by itself and what
waits is delivered. When it goes on like this for too long, it is called
failed, and nothing more is sent to it.`,
];

function failed(api: string): readonly string[] {
  return [
    `It failed for too long, and nothing more is sent to it. New notifications
are put aside. It does not come back by itself. Once it works again:`,
    `1. Make it active. It is asked first whether it works; then what waits is
   delivered.

   PUT ${api}
   {"status": "active"}`,
    `2. What was put aside or given up is sent only when you ask for it, by
   time (Unix seconds):

   POST ${api}/replay
   {"since": …, "until": …}`,
  ];
}

function failure({ at, outcome, status, answer }: LastFailure): string {
  const said = firstLine(answer);
  const what = status === null ? outcome : `status ${status}`;
  return `${minuteOf(at)}, ${what}${said === '' ? '' : `: ${said}`}`;
}

/** Query and fragment of a URL may be credentials. */
function withoutSecrets(address: string): string {
  return firstLine(address.replace(/[?#].*$/s, ''));
}

/** Printable, and not longer than anybody would read. */
function firstLine(text: string): string {
  const [line = ''] = text.trim().split(/[\r\n\u2028\u2029]/, 1);
  const clean = line.replace(/[\p{Cc}\p{Bidi_Control}]+/gu, ' ').trim();
  return clean.length > LONGEST_LINE ? `${clean.slice(0, LONGEST_LINE)}…` : clean;
}

function minuteOf(at: Date): string {
  return `${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

function figure(count: number): string {
  return count >= COUNTED_TO ? `${COUNTED_TO} or more` : String(count);
}
