import { type ImapProvider, imapProvider } from '../../src/providers/imap.ts';
import { makeSafeFetch } from '../../src/safe-fetch.ts';
import type { BareMail } from './bare-mail.ts';
import { certificate } from './certificate.ts';
import { localNetwork } from './providers.ts';
import { eventually } from './service.ts';

/** Whom the tests act for. */
export const account = { app: 1, grantId: '019a0000-0000-7000-8000-000000000001', email: 'sender@bare.test' };

const LOOK_AGAIN_MS = 50;

/** An imap provider that finds every host on this machine; it trusts receiver.test unless told otherwise. */
export function bareProvider(ca: string | null = certificate.cert): ImapProvider {
  const { allowLoopback, allowPrivateTargets } = localNetwork();
  const names = { lookUp: async () => ['127.0.0.1'] };
  const safeFetch = makeSafeFetch({ allowLoopback, allowPrivateTargets });
  const network = { allowLoopback, allowPrivateTargets, names, ca };
  const { provider, close } = imapProvider({
    network,
    safeFetch,
    lookAgainMs: LOOK_AGAIN_MS,
    tempo: { mutePollMs: 100 },
  });
  return {
    provider,
    async close() {
      await close();
      await safeFetch.close();
    },
  };
}

/** Long enough for every call here. */
export function soon(): AbortSignal {
  return AbortSignal.timeout(10_000);
}

/** Resolves once nobody is connected to the servers any more. */
export async function noConnections(mail: BareMail): Promise<void> {
  await eventually('the last connection closed', () => (mail.connections === 0 ? true : undefined));
}
