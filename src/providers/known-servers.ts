/** Where the mailboxes of large providers live, by the domain of the address, so that an address and a password are enough. */
export interface KnownServers {
  readonly imap: Where;
  readonly smtp: Where;
}

interface Where {
  readonly host: string;
  readonly port: number;
}

/** Each as the provider's own set-up page gives it: IMAP with TLS, submission with TLS or (587) STARTTLS. */
const SERVERS: readonly (readonly [domains: string, imap: string, smtp: string])[] = [
  ['gmail.com googlemail.com', 'imap.gmail.com', 'smtp.gmail.com:465'],
  ['outlook.com hotmail.com live.com msn.com', 'outlook.office365.com', 'smtp-mail.outlook.com:587'],
  [
    'yahoo.com yahoo.co.uk yahoo.de yahoo.fr ymail.com rocketmail.com',
    'imap.mail.yahoo.com',
    'smtp.mail.yahoo.com:465',
  ],
  ['aol.com', 'imap.aol.com', 'smtp.aol.com:465'],
  ['icloud.com me.com mac.com', 'imap.mail.me.com', 'smtp.mail.me.com:587'],
  ['fastmail.com fastmail.fm', 'imap.fastmail.com', 'smtp.fastmail.com:465'],
  ['zoho.com', 'imap.zoho.com', 'smtp.zoho.com:465'],
  ['zoho.eu', 'imap.zoho.eu', 'smtp.zoho.eu:465'],
  ['gmx.de gmx.net gmx.at gmx.ch', 'imap.gmx.net', 'mail.gmx.net:465'],
  ['gmx.com', 'imap.gmx.com', 'mail.gmx.com:465'],
  ['web.de', 'imap.web.de', 'smtp.web.de:587'],
  ['t-online.de', 'secureimap.t-online.de', 'securesmtp.t-online.de:465'],
  ['mail.ru inbox.ru list.ru bk.ru', 'imap.mail.ru', 'smtp.mail.ru:465'],
  ['yandex.ru yandex.com ya.ru', 'imap.yandex.com', 'smtp.yandex.com:465'],
  ['mailbox.org', 'imap.mailbox.org', 'smtp.mailbox.org:465'],
  ['posteo.de posteo.net', 'posteo.de', 'posteo.de:465'],
  ['seznam.cz', 'imap.seznam.cz', 'smtp.seznam.cz:465'],
  ['qq.com', 'imap.qq.com', 'smtp.qq.com:465'],
  ['163.com', 'imap.163.com', 'smtp.163.com:465'],
];

const BY_DOMAIN = new Map(
  SERVERS.flatMap(([domains, imap, smtp]) =>
    domains.split(' ').map((domain): [string, KnownServers] => {
      const [host = '', port] = smtp.split(':');
      return [domain, { imap: { host: imap, port: 993 }, smtp: { host, port: Number(port) } }];
    }),
  ),
);

export function knownServers(email: string): KnownServers | null {
  return BY_DOMAIN.get(email.slice(email.lastIndexOf('@') + 1).toLowerCase()) ?? null;
}
