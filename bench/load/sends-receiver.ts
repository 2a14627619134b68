// A receiver of webhooks that tell of scheduled mails, each by its subject: `Schedule` and a number.
import { createServer } from 'node:http';

export interface SendsReceiver {
  readonly url: string;
  /** Subjects that a `message.send_success` told of. */
  readonly told: ReadonlySet<string>;
  /** How many came more than once. */
  again(): number;
  close(): void;
}

export async function startSendsReceiver(): Promise<SendsReceiver> {
  const told = new Set<string>();
  let again = 0;
  const server = createServer((request, response) => {
    const challenge = new URL(request.url ?? '/', 'http://x').searchParams.get('challenge');
    if (challenge !== null) return void response.end(challenge);
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      response.end();
      const subject = /"subject":"(Schedule \d+)"/.exec(body)?.[1];
      if (subject === undefined) return;
      if (told.has(subject)) again++;
      told.add(subject);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/`,
    told,
    again: () => again,
    close: () => void server.close(),
  };
}
