import { NameError } from '../../src/names.ts';
import type { MailNetwork } from '../../src/providers/mail-server.ts';
import type { MailServer, OutgoingMail } from '../../src/providers/provider.ts';
import { certificate } from './certificate.ts';

/** Trusts the test certificate and knows its host, receiver.test, as this machine. */
export function loopbackNetwork(changed: Partial<MailNetwork> = {}): MailNetwork {
  return {
    allowLoopback: true,
    allowPrivateTargets: new Set<string>(),
    names: {
      lookUp: async (name) => {
        if (name === 'receiver.test' || name === 'other.test') return ['127.0.0.1'];
        throw new NameError(`${name} has no address`);
      },
    },
    ca: certificate.cert,
    ...changed,
  };
}

export function serverAt(port: number, changed: Partial<MailServer> = {}): MailServer {
  return { host: 'receiver.test', port, security: 'starttls', user: 'ann@example.com', ...changed };
}

export function mailTo(...to: readonly string[]): OutgoingMail {
  const messageId = `<${Math.random().toString(36).slice(2)}@example.com>`;
  const lines = ['From: ann@example.com', `Message-ID: ${messageId}`, 'Subject: Hello', '', 'Hello', '.dot', ''];
  return { envelope: { from: 'ann@example.com', to }, messageId, raw: Buffer.from(lines.join('\r\n')) };
}
