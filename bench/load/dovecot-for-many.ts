// A Dovecot on which any address at all has a mailbox, for thousands of connections at once.
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, realpath, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import nodemailer from 'nodemailer';
import { greeted, portForServer, startDaemons } from '../../test/support/daemons.ts';
import { NOBODY } from '../../test/support/dovecot-config.ts';
import { writeCertificate } from '../../test/support/dovecot-folder.ts';

export interface DovecotForMany {
  readonly port: number;
  readonly password: string;
  /** Of the authority that signed its certificate. */
  readonly caFile: string;
  /** Of its certificate. */
  readonly keyFile: string;
  /** Through LMTP; resolves with the moment of the answer 250, Unix milliseconds. */
  deliver(address: string, raw: string): Promise<number>;
  /** Where a mailbox lies. */
  maildir(address: string): string;
  /** Microseconds of CPU that its processes have used which are still there. */
  cpu(): Promise<number>;
  log(): Promise<string>;
  close(): Promise<void>;
}

const run = promisify(execFile);
const PASSWORD = 'bench-secret';
/** The system allows an account 128 watchers of files (inotify), so its processes have to be few. */
const MAILBOXES_A_PROCESS = 200;

/** With TLS from the first byte on; without, none is offered, and what is said can be read on the way. */
export async function startDovecotForMany({ tls }: { readonly tls: boolean }): Promise<DovecotForMany> {
  const folder = await mkdtemp(join(await realpath(tmpdir()), 'tt-many-'));
  await chmod(folder, 0o755);
  const [port, lmtp] = [await portForServer(), await portForServer()];
  await writeCertificate(folder);
  for (const name of ['run', 'state', 'mail']) await mkdir(join(folder, name));
  await run('chown', [`${NOBODY}:${NOBODY}`, join(folder, 'mail')]);
  await writeFile(join(folder, 'dovecot.conf'), conf({ folder, port, lmtp, tls }));
  const daemons = startDaemons(folder, [['/usr/sbin/dovecot', '-F', '-c', `${folder}/dovecot.conf`]]);
  const log = (): Promise<string> => readFile(join(folder, 'dovecot.log'), 'utf8').catch(() => '');
  try {
    await Promise.all([lmtp, ...(tls ? [] : [port])].map((one) => greeted(one, daemons)));
  } catch (error) {
    const told = await log();
    await daemons.close();
    throw new Error(`Dovecot did not start: ${error}\n${told}`);
  }
  const mailer = nodemailer.createTransport({ host: '127.0.0.1', port: lmtp, lmtp: true, ignoreTLS: true, pool: true });
  return {
    port,
    password: PASSWORD,
    caFile: join(folder, 'tls/cert.pem'),
    keyFile: join(folder, 'tls/key.pem'),
    async deliver(address, raw) {
      await mailer.sendMail({ envelope: { from: 'elsewhere@example.org', to: [address] }, raw });
      return Date.now();
    },
    maildir: (address) => join(folder, 'mail', address),
    async cpu() {
      const { stdout } = await run('ps', ['-e', '-o', 'pid=,ppid=,args=']);
      const rows = stdout.split('\n').map((line) => /^ *(\d+) +(\d+) (.*)$/.exec(line) ?? []);
      const master = rows.find(([, , , args]) => args?.includes(`-c ${folder}/`))?.[1] ?? '';
      const pids = rows.filter(([, , parent]) => parent === master).map(([, pid]) => pid);
      const used = await Promise.all(pids.map(async (pid) => cpuOf(await readFile(`/proc/${pid}/stat`, 'utf8'))));
      return used.reduce((sum, one) => sum + one, 0);
    },
    log,
    async close() {
      mailer.close();
      await daemons.close();
    },
  };
}

/** Of a line of `/proc/…/stat`, in microseconds. */
export function cpuOf(stat: string): number {
  const fields = stat.replace(/.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000; // a tick is a hundredth of a second
}

interface Wanted {
  readonly folder: string;
  readonly port: number;
  readonly lmtp: number;
  readonly tls: boolean;
}

function conf({ folder, port, lmtp, tls }: Wanted): string {
  return `
base_dir = ${folder}/run
state_dir = ${folder}/state
instance_name = ${folder.slice(folder.lastIndexOf('/') + 1)}
log_path = ${folder}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
first_valid_uid = 1
mail_location = maildir:${folder}/mail/%u
mail_save_crlf = yes
ssl = ${tls ? 'yes' : 'no'}
ssl_cert = <${folder}/tls/cert.pem
ssl_key = <${folder}/tls/key.pem
disable_plaintext_auth = no
auth_failure_delay = 0 secs
mail_max_userip_connections = 100
default_client_limit = 10000
default_process_limit = 1000
default_vsz_limit = 2 G
passdb {
  driver = static
  args = password=${PASSWORD}
}
userdb {
  driver = static
  args = uid=${NOBODY} gid=${NOBODY} home=${folder}/mail/%u allow_all_users=yes
}
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  chroot =
  service_count = 0
  process_min_avail = 2
  client_limit = 5000
  inet_listener imap {
    port = ${tls ? 0 : port}
  }
  inet_listener imaps {
    port = ${tls ? port : 0}
    ssl = yes
  }
}
service imap {
  service_count = 0
  client_limit = ${MAILBOXES_A_PROCESS}
  process_min_avail = 1
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = ${lmtp}
  }
}
namespace inbox {
  inbox = yes
  mailbox Sent {
    auto = subscribe
    special_use = \\Sent
  }
  mailbox Archive {
    auto = subscribe
    special_use = \\Archive
  }
}
protocol lmtp {
  postmaster_address = postmaster@example.test
}
`;
}
