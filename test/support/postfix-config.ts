// What Postfix 3.7 is told: submission for Dovecot's users alone, delivery by LMTP, nothing leaves the machine.
export interface PostfixConfig {
  readonly folder: string;
  readonly ports: { readonly smtp: number; readonly smtps: number; readonly lmtp: number };
  /** Every address that can be written to. */
  readonly recipients: readonly string[];
}

/** Mail for them is taken and then comes back: nobody of that name lives there; there is no such domain. */
export const GONE = 'kim@deserted.test';
export const NOWHERE = 'kim@nowhere.test';
/** Mail for them has to wait, and its sender is told so at once. */
export const SLOW = 'kim@slow.test';

export const POSTFIX_PROGRAMS = '/usr/lib/postfix/sbin';

/** Folders below the queue, by who has to own them and with which mode. */
export const QUEUE = [
  {
    owner: 'postfix',
    mode: 0o700,
    names: [
      'active',
      'bounce',
      'corrupt',
      'defer',
      'deferred',
      'flush',
      'hold',
      'incoming',
      'private',
      'saved',
      'trace',
    ],
  },
  { owner: 'postfix:postdrop', mode: 0o730, names: ['maildrop'] },
  { owner: 'postfix:postdrop', mode: 0o710, names: ['public'] },
  { owner: 'root', mode: 0o755, names: ['pid'] },
] as const;

export function mainCf({ folder, ports, recipients }: PostfixConfig): string {
  const domains = new Set(recipients.map((address) => address.slice(address.indexOf('@') + 1)));
  const settings = {
    compatibility_level: '3.6',
    queue_directory: `${folder}/pf/spool`,
    data_directory: `${folder}/pf/data`,
    daemon_directory: POSTFIX_PROGRAMS,
    mail_owner: 'postfix',
    setgid_group: 'postdrop',
    inet_interfaces: '127.0.0.1',
    inet_protocols: 'ipv4',
    myhostname: 'mail.example.test',
    mydestination: '',
    mynetworks: '127.0.0.0/8',
    alias_maps: '',
    local_recipient_maps: '',
    virtual_mailbox_domains: [...domains].join(' '),
    virtual_mailbox_maps: `inline:{ ${recipients.map((address) => `{ ${address} = there }`).join(', ')} }`,
    virtual_transport: `lmtp:inet:127.0.0.1:${ports.lmtp}`,
    transport_maps: `inline:{ ${transports(ports.lmtp)
      .map(([address, transport]) => `{ ${address} = ${transport} }`)
      .join(', ')} }`,
    // What is not refused before it was taken.
    virtual_alias_maps: `inline:{ { ${NOWHERE} = ${NOWHERE} } }`,
    delay_warning_time: '1s',
    default_transport: 'error:nothing leaves this machine',
    relay_transport: 'error:nothing leaves this machine',
    smtpd_sasl_auth_enable: 'yes',
    smtpd_sasl_type: 'dovecot',
    smtpd_sasl_path: `${folder}/run/auth-postfix`,
    smtpd_tls_auth_only: 'yes',
    smtpd_tls_security_level: 'may',
    smtpd_tls_cert_file: `${folder}/tls/cert.pem`,
    smtpd_tls_key_file: `${folder}/tls/key.pem`,
    smtpd_relay_restrictions: 'permit_sasl_authenticated, reject',
    smtpd_recipient_restrictions: 'permit_sasl_authenticated, reject',
    smtpd_error_sleep_time: '0',
    maillog_file: `${folder}/pf/mail.log`,
    maillog_file_prefixes: folder,
    disable_dns_lookups: 'yes',
    lmtp_host_lookup: 'native',
  };
  return `${Object.entries(settings)
    .map(([name, value]) => `${name} = ${value}`)
    .join('\n')}\n`;
}

function transports(lmtp: number): readonly (readonly [string, string])[] {
  return [
    [GONE, `lmtp:inet:127.0.0.1:${lmtp}`],
    [
      NOWHERE,
      'error:5.4.4 Host or domain name not found. Name service error for name=nowhere.test type=AAAA: Host not found',
    ],
    [SLOW, 'lmtp:inet:127.0.0.1:1'], // where nobody listens
  ];
}

export function masterCf({ ports }: PostfixConfig): string {
  // type, private, unprivileged, chroot, wake up after, at most, program. The times at which the queue manager and the
  // TLS manager are woken are what the first mail would otherwise wait a second for.
  return [
    `127.0.0.1:${ports.smtp} inet n - n - - smtpd`,
    `127.0.0.1:${ports.smtps} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes`,
    'postlog unix-dgram n - n - 1 postlogd',
    'cleanup unix n - n - 0 cleanup',
    'qmgr unix n - n 300 1 qmgr',
    'tlsmgr unix - - n 1000? 1 tlsmgr',
    'rewrite unix - - n - - trivial-rewrite',
    'bounce unix - - n - 0 bounce',
    'defer unix - - n - 0 bounce',
    'trace unix - - n - 0 bounce',
    'verify unix - - n - 1 verify',
    'error unix - - n - - error',
    'retry unix - - n - - error',
    'lmtp unix - - n - - lmtp',
    'anvil unix - - n - 1 anvil',
    'scache unix - - n - 1 scache',
    '',
  ].join('\n');
}
