// Notify as a process of its own: node notify-program.js <connection as JSON> <secret>. Tells its counts to whoever asks.
import { connect } from '../../src/db/pool.ts';
import { makeVault } from '../../src/grants/vault.ts';
import { parseKeyring } from '../../src/keyring.ts';
import { makeLog } from '../../src/log.ts';
import { startNotify } from '../../src/notify/start.ts';
import { testDestinations } from './destinations.ts';

const [, , connection = '""', secret = ''] = process.argv;
const notify = startNotify({
  sql: connect(JSON.parse(connection)),
  log: makeLog('error'),
  vault: makeVault(parseKeyring(secret)),
  destinations: testDestinations().destinations,
  thresholds: { failingMinutes: 15, failedHours: 72, failurePercent: 95 },
  postman: null,
  publicUrl: 'http://localhost:8080',
  pollMs: 20,
});
process.on('message', () => process.send?.(notify.counts));
process.on('disconnect', () => process.exit());
