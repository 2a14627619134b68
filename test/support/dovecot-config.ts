// What Dovecot 2.3 is told. Every account belongs to the system's nobody, in maildirs below one folder.
import type { MailboxOwner } from './dovecot.ts';

export const NOBODY = 65_534;

export interface DovecotConfig {
  readonly folder: string;
  readonly ports: { readonly imap: number; readonly imaps: number; readonly lmtp: number };
  /** Asked with the token appended; null: no XOAUTH2. */
  readonly introspectionUrl: string | null;
}

export function dovecotConf({ folder, ports, introspectionUrl }: DovecotConfig): string {
  const settings = {
    base_dir: `${folder}/run`,
    state_dir: `${folder}/state`,
    instance_name: folder.slice(folder.lastIndexOf('/') + 1),
    log_path: `${folder}/dovecot.log`,
    protocols: 'imap lmtp',
    listen: '127.0.0.1',
    first_valid_uid: 1,
    mail_location: `maildir:${folder}/mail/%u`,
    mail_plugins: 'quota',
    mail_save_crlf: 'yes', // as it came, byte for byte
    mailbox_list_index: 'no', // folders are looked at on disk
    ssl: 'yes',
    ssl_cert: `<${folder}/tls/cert.pem`,
    ssl_key: `<${folder}/tls/key.pem`,
    disable_plaintext_auth: 'yes',
    auth_mechanisms: `plain login${introspectionUrl === null ? '' : ' xoauth2 oauthbearer'}`,
    auth_failure_delay: '0 secs',
    mail_max_userip_connections: 100,
    verbose_proctitle: 'yes', // says who waits in IDLE
    recipient_delimiter: '+',
    lmtp_save_to_detail_mailbox: 'yes', // what a filter at delivery does: alice+Projects@… goes to Projects
  };
  return [
    ...Object.entries(settings).map(([name, value]) => `${name} = ${value}`),
    introspectionUrl === null
      ? ''
      : block('passdb', ['driver = oauth2', 'mechanisms = xoauth2 oauthbearer', `args = ${folder}/oauth2.conf`]),
    block('passdb', ['driver = passwd-file', 'mechanisms = plain login', `args = ${folder}/users`]),
    block('userdb', ['driver = passwd-file', `args = ${folder}/users`]),
    // Without the penalty that the same address pays for its next failure.
    block('service anvil', ['chroot =', block('unix_listener anvil-auth-penalty', ['mode = 0'])]),
    block('service imap-login', [
      'chroot =',
      block('inet_listener imap', [`port = ${ports.imap}`]),
      block('inet_listener imaps', [`port = ${ports.imaps}`, 'ssl = yes']),
    ]),
    block('service lmtp', [block('inet_listener lmtp', ['address = 127.0.0.1', `port = ${ports.lmtp}`])]),
    block('service auth', [block('unix_listener auth-postfix', ['mode = 0666'])]),
    block('namespace inbox', [
      'inbox = yes',
      ...['Sent', 'Drafts', 'Trash', 'Archive'].map((name) =>
        block(`mailbox ${name}`, ['auto = subscribe', `special_use = \\${name}`]),
      ),
    ]),
    block('plugin', ['quota = maildir:User quota']),
    block('protocol imap', ['mail_plugins = quota imap_quota']),
    block('protocol lmtp', ['postmaster_address = postmaster@example.test']),
    '',
  ].join('\n');
}

/** The file behind its oauth2 passdb. */
export function oauth2Conf(introspectionUrl: string): string {
  return [
    'introspection_mode = get',
    `introspection_url = ${introspectionUrl}`,
    'username_attribute = email',
    'active_attribute = active',
    'active_value = true',
    '',
  ].join('\n');
}

/** A line of its passwd-file, which is read again whenever it has changed. */
export function userLine(folder: string, address: string, owner: MailboxOwner): string {
  const quota = owner.quotaBytes === undefined ? '' : `userdb_quota_rule=*:bytes=${owner.quotaBytes}`;
  return `${address}:{PLAIN}${owner.password}:${NOBODY}:${NOBODY}::${folder}/mail/${address}::${quota}\n`;
}

function block(name: string, lines: readonly string[]): string {
  const inner = lines.flatMap((line) => line.split('\n')).map((line) => `  ${line}`);
  return [`${name} {`, ...inner, '}'].join('\n');
}
