import assert from 'node:assert/strict';
import { eventually, type Service } from './service.ts';

export interface TrackedMessage {
  readonly id: string;
  /** Paths on the service, as they stand in the mail. */
  readonly pixel: string;
  readonly link: string;
  readonly links: readonly string[];
}

/** Sends a mail with a pixel and links from the practice mailbox and reads their addresses out of it, as a reader would. */
export async function sendTracked(
  service: Service,
  urls: readonly string[] = ['https://example.com/demo'],
  extra: Record<string, unknown> = {},
): Promise<TrackedMessage> {
  const sent = await service.api('POST', `/v3/grants/${service.grantId()}/messages/send`, {
    to: [{ name: 'Kim', email: 'kim@example.com' }],
    subject: 'Tracked',
    body: `<p>Hello</p>${urls.map((url) => `<a href="${url}">link</a>`).join('\n')}`,
    tracking_options: { opens: true, links: true, label: 'journey' },
    ...extra,
  });
  assert.equal(sent.status, 200, sent.text);
  const list = await service.api('GET', '/practice/messages');
  const raw = await service.api('GET', `/practice/messages/${list.at('data.0.id')}/raw`);
  const html = raw.text.replaceAll('=\r\n', '').replaceAll('=3D', '=');
  const paths = (kind: string): string[] =>
    [...html.matchAll(new RegExp(`"https?://[^/"]+(/${kind}/[^"]+)"`, 'g'))].map((match) => match[1] ?? '');
  const links = paths('c');
  return { id: String(sent.at('data.id')), pixel: paths('o')[0] ?? '', link: links[0] ?? '', links };
}

/** Waits until everything spooled so far is in the database; fails with what the service says about itself. */
export async function spoolIsEmpty(service: Service, forMs = 60_000): Promise<void> {
  let figures = '';
  await eventually(
    'the spool is empty',
    async () => {
      figures = await (await fetch(`${service.url}/metrics`)).text();
      return figure(figures, 'telltale_spool_hits') === 0 ? true : undefined;
    },
    forMs,
  ).catch((error: Error) => {
    const told = figures.split('\n').filter((line) => /^telltale_(spool|recorde)/.test(line));
    const logged = service
      .errors()
      .split('\n')
      .filter((line) => !line.includes('request.served'));
    throw new Error([error.message, ...told, ...logged.slice(-20)].join('\n'));
  });
}

/** The value of one line of the Prometheus text, or undefined where there is none. */
export function figure(text: string, name: string): number | undefined {
  const line = text
    .split('\n')
    .find((candidate) => candidate.startsWith(`${name} `) || candidate.startsWith(`${name}{`));
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1));
}
