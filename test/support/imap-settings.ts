import type { MailHost } from './dovecot.ts';

/** The `settings` with which a mailbox of the host is connected, password included. */
export function imapSettings(
  host: MailHost,
  address: string,
  security: 'tls' | 'starttls' = 'starttls',
): Record<string, string | number> {
  const { ports } = host;
  const password = host.owners.get(address)?.password;
  if (password === undefined) throw new Error(`nobody is ${address} here`);
  return {
    imap_username: address,
    imap_password: password,
    imap_host: host.host,
    imap_port: security === 'tls' ? ports.imaps : ports.imap,
    imap_security: security,
    smtp_host: host.host,
    smtp_port: security === 'tls' ? ports.smtps : ports.smtp,
    smtp_security: security,
  };
}
