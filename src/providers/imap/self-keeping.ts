import type { ImapCredentials } from '../provider.ts';

interface SelfKeeping {
  readonly smtpHosts: readonly string[];
  /** Whether a mail that is missing in Sent was certainly not taken. */
  readonly absenceProves: boolean;
}

/** Mail services that file what they take by SMTP into the sender's Sent folder themselves. */
const SERVICES: readonly SelfKeeping[] = [
  // Gmail and Google Workspace mailboxes: as part of taking the mail. The relay of Workspace (smtp-relay.gmail.com)
  // belongs to no mailbox and files nothing, so it is not here.
  { smtpHosts: ['smtp.gmail.com', 'smtp.googlemail.com'], absenceProves: true },
  // Microsoft 365 and Outlook.com: into Sent Items, as client submission, up to minutes later.
  {
    smtpHosts: ['smtp.office365.com', 'smtp.outlook.com', 'smtp-mail.outlook.com', 'smtp-legacy.office365.com'],
    absenceProves: false,
  },
];

/** Whether the server that sends keeps the copy itself. */
export function keepsCopies({ smtp }: ImapCredentials): boolean {
  return serviceOf(smtp.host) !== null;
}

/** Whether a mail that is not in Sent was never sent: a capability of the IMAP server has to confirm who it is. */
export function absenceProves({ smtp }: ImapCredentials, capabilities: ReadonlyMap<string, unknown>): boolean {
  return capabilities.has('X-GM-EXT-1') && (serviceOf(smtp.host)?.absenceProves ?? false);
}

function serviceOf(host: string): SelfKeeping | null {
  const name = host.toLowerCase().replace(/\.$/, '');
  return SERVICES.find(({ smtpHosts }) => smtpHosts.includes(name)) ?? null;
}
