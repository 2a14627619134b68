// The contract of the provider port, held by real mail servers.
import { describe } from 'node:test';
import { imapProvider } from '../../src/providers/imap.ts';
import type { Account, ImapCredentials, MailServer } from '../../src/providers/provider.ts';
import { makeSafeFetch } from '../../src/safe-fetch.ts';
import { ALICE, type MailHost, noDovecot, startMailHost } from '../support/dovecot.ts';
import { type ProviderHarness, providerContract } from '../support/provider-contract.ts';
import { localNetwork } from '../support/providers.ts';
import { startTokenServer } from '../support/token-server.ts';

type Harness = ProviderHarness<ImapCredentials>;

const RECIPIENT = 'kim@example.com';
const ACCOUNT: Account = { app: 1, grantId: '3f0a2c1e-6b7d-4e55-9a41-0f6f3c2b9d10', email: ALICE };

describe('Dovecot and Postfix', { skip: noDovecot() }, () => {
  providerContract('a mailbox by STARTTLS', () => byPassword('starttls'));
  providerContract('a mailbox by TLS', () => byPassword('tls'));
  providerContract('a mailbox by XOAUTH2', byToken);
});

async function byPassword(security: MailServer['security']): Promise<Harness> {
  const host = await startMailHost();
  const { smtp, imap } = serversOf(host, security);
  const login = (password: string): ImapCredentials => ({
    provider: 'imap',
    smtp: { ...smtp, password },
    imap: { ...imap, password },
  });
  return {
    ...harness(host),
    credentials: login('alice-secret'),
    wrongCredentials: login('mistyped'),
    async expire() {
      await host.change(ALICE, { password: 'alice-changed' });
      await cut(host);
    },
  };
}

async function byToken(): Promise<Harness> {
  const tokens = await startTokenServer();
  const host = await startMailHost({ introspectionUrl: tokens.introspectionUrl });
  const login = (refreshToken: string): ImapCredentials => ({
    provider: 'imap',
    ...serversOf(host, 'starttls'),
    oauth: { ...CLIENT, tokenUrl: tokens.tokenUrl, refreshToken },
  });
  const made = harness(host);
  return {
    ...made,
    credentials: login(tokens.grant(ALICE)),
    wrongCredentials: login('never-given'),
    async expire() {
      tokens.revoke();
      await cut(host);
    },
    async close() {
      await made.close();
      await tokens.close();
    },
  };
}

const CLIENT = { clientId: 'telltale', clientSecret: 'kept', accessToken: '', expiresAt: 0 };

function harness(host: MailHost): Pick<
  Harness,
  'provider' | 'account' | 'delivered' | 'sentFolder' | 'drafts' | 'arrive' | 'move'
> & {
  close(): Promise<void>;
} {
  const network = localNetwork(host.ca);
  const { allowLoopback, allowPrivateTargets, names } = network;
  const safeFetch = makeSafeFetch({ allowLoopback, allowPrivateTargets, names });
  const made = imapProvider({ network, safeFetch, lookAgainMs: 50, tempo: { pollMs: 200 } });
  return {
    provider: made.provider,
    account: ACCOUNT,
    delivered: () => host.mails(RECIPIENT),
    sentFolder: () => host.mails(ALICE, 'Sent'),
    drafts: {
      list: () => host.mails(ALICE, 'Drafts'),
      put: (raw) => host.withProgram(ALICE, async (program) => void (await program.append('Drafts', raw))),
    },
    arrive: (raw) => host.deliver(ALICE, raw),
    move: (messageId) =>
      host.withProgram(ALICE, async (program) => {
        await program.mailboxCreate('Filed');
        await program.mailboxOpen('INBOX');
        await program.messageMove({ header: { 'message-id': messageId } }, 'Filed');
      }),
    async close() {
      await made.close();
      await safeFetch.close();
      await host.close();
    },
  };
}

function serversOf(host: MailHost, security: MailServer['security']): { smtp: MailServer; imap: MailServer } {
  const { ports } = host;
  const [smtp, imap] = security === 'tls' ? [ports.smtps, ports.imaps] : [ports.smtp, ports.imap];
  const server = (port: number): MailServer => ({ host: host.host, port, security, user: ALICE });
  return { smtp: server(smtp), imap: server(imap) };
}

/** Connections that are signed in would go on. */
async function cut(host: MailHost): Promise<void> {
  await Promise.all([host.smtp.stop(), host.imap.stop()]);
  await Promise.all([host.smtp.start(), host.imap.start()]);
}
